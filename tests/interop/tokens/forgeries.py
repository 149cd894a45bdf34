"""Tokens that no key of the set signed that may: without a signature, by a public key as a secret, by keys of their own."""

import base64
import datetime
import json

import jwcrypto.jwe
import jwcrypto.jwk
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from forge import GONE, OPEN_SECRET, bytes_of, compact, es, hs, nothing, ps, public_jwk, rs

DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def spki(key, encoding=serialization.Encoding.PEM):
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def pkcs1(key, encoding):
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.PKCS1)


def certificate(issuer):
    """The attacker's of its own, as `x5c` has it."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "notes")]), datetime.datetime.now(
        datetime.timezone.utc
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(issuer.attacker.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    signed = builder.sign(issuer.attacker, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()


def without_signature(issuer):
    for alg in ("none", "None", "nOnE", "NONE", "none ", ""):
        header = issuer.header(alg=alg)
        yield f"alg {alg!r}", compact(header, issuer.claims(), nothing)
        yield f"alg {alg!r} without a kid", compact(issuer.header(alg=alg, kid=GONE), issuer.claims(), nothing)
        yield f"alg {alg!r} with a signature", compact(header, issuer.claims(), rs(issuer.rsa))
    yield "RS256 with no signature", compact(issuer.header(), issuer.claims(), nothing)
    header, payload, _ = issuer.signed().split(b".")
    yield "two parts of a good one", header + b"." + payload


def by_public_keys(issuer):
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    secrets = {
        "SPKI PEM": spki(issuer.rsa),
        "SPKI PEM without its last line end": spki(issuer.rsa).rstrip(b"\n"),
        "SPKI DER": spki(issuer.rsa, der),
        "PKCS#1 PEM": pkcs1(issuer.rsa, pem),
        "PKCS#1 DER": pkcs1(issuer.rsa, der),
        "JWK": bytes_of(issuer.jwks()["keys"][2]),
        "modulus": issuer.rsa.public_key().public_numbers().n.to_bytes(256, "big"),
        "nothing": b"",
    }
    for alg, digest in DIGESTS.items():
        for name, secret in secrets.items():
            yield f"{alg} by {name} of the RSA key", compact(
                issuer.header(alg=alg), issuer.claims(), hs(secret, digest)
            )
        for kid, key in {"ec": issuer.ec, "ed": issuer.ed}.items():
            token = compact(issuer.header(alg=alg, kid=kid), issuer.claims(), hs(spki(key), digest))
            yield f"{alg} by SPKI PEM of the key {kid}", token
        header = issuer.header(alg=alg, kid="oct")
        yield f"{alg} by the symmetric key of the set", compact(header, issuer.claims(), hs(OPEN_SECRET, digest))
    # By a library that takes any bytes for a secret.
    key = jwcrypto.jwk.JWK.from_password(spki(issuer.rsa).decode())
    token = jwcrypto.jws.JWS(bytes_of(issuer.claims()))
    token.add_signature(key, "HS256", json.dumps(issuer.header(alg="HS256")))
    yield "jwcrypto: HS256 by SPKI PEM", token.serialize(compact=True).encode()
    # The MAC under the name of the right algorithm.
    for name, secret in secrets.items():
        yield f"RS256 that is a MAC by {name}", compact(issuer.header(), issuer.claims(), hs(secret))


def by_keys_of_the_attacker(issuer):
    own, key, url = rs(issuer.attacker), public_jwk(issuer.attacker), f"{issuer.trap}/jku"
    x5c = [certificate(issuer)]
    brought = {
        "nothing": {},
        "jwk": {"jwk": key},
        "jwk with the kid of the set": {"jwk": key | {"kid": "rsa"}},
        "jku": {"jku": url},
        "x5u": {"x5u": url},
        "x5c": {"x5c": x5c},
        "x5t": {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    }
    for name, more in brought.items():
        yield f"{name} in the header", compact(issuer.header(**more), issuer.claims(), own)
        yield f"{name} in the header, without a kid", compact(issuer.header(kid=GONE, **more), issuer.claims(), own)
        yield f"{name} in the header, of another kid", compact(issuer.header(kid="new", **more), issuer.claims(), own)
    for kid in (
        "../../../../../../dev/null",
        "' OR 1=1 --",
        "|cat /etc/passwd",
        url,
        "",
        "rsa\0",
        "RSA",
        " rsa",
        "k" * 4096,
    ):
        for alg, sign in {"RS256": own, "HS256": hs(b"")}.items():
            yield f"{alg} of the kid {kid[:30]!r}", compact(issuer.header(alg=alg, kid=kid), issuer.claims(), sign)
    yield "keys beside the claims", compact(issuer.header(), issuer.claims(jwk=key, cnf={"jwk": key}), own)


def by_the_wrong_key(issuer):
    claims = issuer.claims()
    yield "a kid of another type of key", issuer.signed(issuer.header(kid="ec"))
    yield "ES256 with the kid of an RSA key", compact(issuer.header(alg="ES256"), claims, es(issuer.ec))
    yield "the kid of another RSA key", issuer.signed(issuer.header(kid="7"))
    yield "a key for encryption", issuer.signed(issuer.header(kid="encrypting"), key=issuer.encrypting)
    yield "a key for RS512", issuer.signed(issuer.header(kid="sha512"), key=issuer.sha512)
    yield "a key whose key_ops have no verify", issuer.signed(
        issuer.header(kid="not-verifying"), key=issuer.not_verifying
    )
    yield "an RSA key of 1024 bits", issuer.signed(issuer.header(kid="weak"), key=issuer.weak)
    yield "no kid, where the set has many RSA keys", issuer.signed(issuer.header(kid=GONE))
    token = compact(issuer.header(alg="ES384", kid="ec"), claims, es(issuer.ec, hashes.SHA384(), 32))
    yield "ES384 by a key of P-256", token
    token = compact(issuer.header(alg="ES256", kid="ec384"), claims, es(issuer.ec384, hashes.SHA256(), 48))
    yield "ES256 by a key of P-384", token
    for alg, sign in {
        "RS384": rs(issuer.rsa, hashes.SHA384()),
        "RS512": rs(issuer.rsa, hashes.SHA512()),
        "PS256": ps(issuer.rsa),
        "PS512": ps(issuer.rsa, hashes.SHA512()),
    }.items():
        yield f"{alg}, which is not in the list", compact(issuer.header(alg=alg), claims, sign)
    # Each issuer's keys are for its own tokens.
    yield "another issuer by our key", issuer.signed(claims=issuer.claims(iss=issuer.other))
    yield "our issuer by the key of the other", issuer.signed(key=issuer.other_key)


def encrypted(issuer):
    to_us = jwcrypto.jwk.JWK.from_pyca(issuer.rsa.public_key())
    secret = jwcrypto.jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode())
    for name, plain in {"claims": bytes_of(issuer.claims()), "a good token": issuer.signed()}.items():
        for alg, key in {"RSA-OAEP-256": to_us, "dir": secret}.items():
            header = {"alg": alg, "enc": "A256GCM", "kid": "rsa", "typ": "at+jwt", "cty": "JWT"}
            token = jwcrypto.jwe.JWE(plain, json.dumps(header))
            token.add_recipient(key)
            yield f"a JWE by {alg} of {name}", token.serialize(compact=True).encode()


def forgeries(issuer):
    for kind in (without_signature, by_public_keys, by_keys_of_the_attacker, by_the_wrong_key, encrypted):
        yield from kind(issuer)
