"""Tokens that must be let in."""

from forge import GONE, MAKERS, compact, public_jwk, signer


def good(issuer):
    kinds = {
        "RS256": ("rsa", issuer.rsa),
        "ES256": ("ec", issuer.ec),
        "ES384": ("ec384", issuer.ec384),
        "EdDSA": ("ed", issuer.ed),
    }
    for alg, (kid, key) in kinds.items():
        for maker, make in MAKERS.items():
            yield f"{maker}: {alg}", make(issuer.header(alg=alg, kid=kid), issuer.claims(jti=maker), key)
    for alg in ("ES256", "EdDSA"):
        header = issuer.header(alg=alg, kid=GONE)
        yield f"{alg} without a kid, of which the set has one key", compact(
            header, issuer.claims(), signer(alg, kinds[alg][1])
        )
    yield "8 KiB", issuer.sized(8192)
    yield "a key without alg", issuer.signed(issuer.header(kid="7"), key=issuer.second)
    for typ in ("application/at+jwt", "AT+JWT", "Application/At+Jwt"):
        yield f"typ {typ}", issuer.signed(issuer.header(typ=typ))
    # What the header says of keys is not read.
    stranger = f"{issuer.trap}/jku"
    for name, value in {"jku": stranger, "x5u": stranger, "jwk": public_jwk(issuer.attacker), "x5c": ["AA=="]}.items():
        yield f"a {name} beside the right kid", issuer.signed(issuer.header(**{name: value}))
    for name, changes in {
        "aud is a list with ours": {"aud": ["mail", "furt"]},
        "aud is a list of ours": {"aud": ["furt"]},
        "exp is a fraction": {"exp": issuer.now + 600.5},
        "exp is past, within the skew": {"exp": issuer.now - 1},
        "nbf is to come, within the skew": {"nbf": issuer.now + 10},
        "iat is to come, within the skew": {"iat": issuer.now + 10},
        "iat is absent": {"iat": GONE},
        "scope is a list": {"scope": ["openid", "notes:read"]},
        "further claims": {"cnf": {"a": [1, {"b": None}]}, "ключ": "☃"},
    }.items():
        yield name, issuer.signed(claims=issuer.claims(**changes))
