//! `[[operators]]`.

use super::check;

#[test]
fn operators_have_a_role_and_a_secret_of_their_own() {
    check(&[
        (
            "[[operators]]",
            &[
                "1:1: operators.name: is missing; every [[operators]] needs it",
                "1:1: operators.role: is missing; every [[operators]] needs it",
            ],
        ),
        (
            "[[operators]]\nname = 'a b'\nrole = 'root'\ntoken_sha256 = 'secret'\nfrom = ['10.0.0.0/40']",
            &[
                r#"2:8: operators.name: "a b" is not a name; must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '@', '-', and not "operator""#,
                r#"3:8: operators.role: "root" is not known; must be "read" or "keys" or "operate" or "admin""#,
                "4:16: operators.token_sha256: is not a SHA-256; must be 64 hexadecimal digits, the SHA-256 of the secret",
                r#"5:9: operators.from: "10.0.0.0/40" is not a network; must be an address or a network such as "10.0.0.0/8""#,
            ],
        ),
        (
            "[[operators]]\nname = 'operator'\nrole = 'read'",
            &[
                r#"2:8: operators.name: "operator" is not a name; must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '@', '-', and not "operator""#,
            ],
        ),
        (
            "[[operators]]\nname = 'a'\nrole = 'read'",
            &["1:1: operators: has neither token_sha256 nor certificate_sha256; must have one"],
        ),
        (
            "[[operators]]\nname = 'a'\nrole = 'read'\ncertificate_sha256 = 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd'",
            &[
                "4:22: operators.certificate_sha256: is of no use alone: nobody is asked for a certificate; internal.tls_client_ca must be set as well",
            ],
        ),
        (
            "[internal]\noperator_token_sha256 = 'abababababababababababababababababababababababababababababababab'\n\
             [[operators]]\nname = 'a'\nrole = 'read'\n\
             token_sha256 = 'abababababababababababababababababababababababababababababababab'\n\
             [[operators]]\nname = 'a'\nrole = 'keys'\n\
             certificate_sha256 = 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd'\n\
             token_sha256 = 'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef'\n\
             [[operators]]\nname = 'c'\nrole = 'admin'\n\
             certificate_sha256 = 'CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD'\n\
             token_sha256 = 'EFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEF'\n",
            &[
                "6:16: operators.token_sha256: is internal.operator_token_sha256 already; must be a token of this operator alone",
                r#"8:8: operators.name: "a" is the operator in line 4 already; must be unique"#,
                "15:22: operators.certificate_sha256: is in line 10 already; must be unique",
                "16:16: operators.token_sha256: is in line 11 already; must be unique",
            ],
        ),
    ]);
}
