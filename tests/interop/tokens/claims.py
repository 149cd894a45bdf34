"""Tokens that the issuer's own keys signed, whose claims are wrong: not for us, not now, not of the right kind."""

from forge import GONE, bytes_of

# What JSON has, or nearly has, and Python does not write.
LITERALS = (
    "1e400",
    "-1e400",
    "1E+999",
    "Infinity",
    "NaN",
    "9" * 400 + "e400",
    "0x7fffffff",
    "+9999999999",
    "09999999999",
    "9999999999.",
)


def changed(issuer):
    now = issuer.now
    kinds = {
        "null": None,
        "true": True,
        "text": str(now + 600),
        "a list": [now + 600],
        "an object": {"$numberLong": now + 600},
    }
    wrong = {
        "aud": {
            "absent": GONE,
            "another": "mail",
            "empty": "",
            "an empty list": [],
            "a list without ours": ["mail", "furt2"],
            "ours in upper case": "FURT",
            "ours and more": "furt mail",
            "ours with a blank": " furt",
            "null": None,
            "true": True,
            "an object": {"furt": True},
            "a list within a list": [["furt"]],
            "a beginning of ours": "fur",
            "a pattern": "*",
        },
        "iss": {
            "absent": GONE,
            "another": "https://evil.example",
            "with a slash at its end": issuer.url + "/",
            "empty": "",
            "in upper case": issuer.url.upper(),
            "with a query": issuer.url + "?",
            "with a fragment": issuer.url + "#",
            "with a dot segment": issuer.url.replace("/Notes", "/./Notes"),
            "with an escape": issuer.url.replace("Notes", "%4eotes"),
            "with a NUL": issuer.url + "\0",
            "with a blank": issuer.url + " ",
            "null": None,
            "a list": [issuer.url],
            "with another realm": issuer.url.replace("Notes", "notes"),
            "by name": issuer.url.replace("127.0.0.1", "localhost"),
        },
        "exp": {"absent": GONE, "past": now - 3600, "0": 0, "negative": -1, "false": False} | kinds,
        "nbf": {"to come": now + 3600, "false": False} | kinds,
        "iat": {"to come": now + 3600, "false": False} | kinds,
        "sub": {
            "absent": GONE,
            "empty": "",
            "null": None,
            "a number": 7,
            "a list": ["alice"],
            "too long": "a" * 257,
            "with a line end": "alice\r\nX-Auth-Permissions: *",
            "with a NUL": "alice\0",
        },
    }
    for claim, values in wrong.items():
        for name, value in values.items():
            maker, token = issuer.made(claims=issuer.claims(**{claim: value}))
            yield f"{maker}{claim} {name}", token


def literals(issuer):
    for claim in ("exp", "nbf", "iat"):
        for literal in LITERALS:
            payload = bytes_of(issuer.claims(**{claim: "@"})).replace(b'"@"', literal.encode())
            yield f"{claim} {literal[:20]}", issuer.signed(claims=payload)


def twice(issuer):
    """Two members of a name, of which one parser takes the first and another one the last."""
    evil = {
        "iss": "https://evil.example",
        "aud": "mail",
        "sub": "root",
        "exp": issuer.now - 3600,
        "nbf": issuer.now + 3600,
        "iat": issuer.now + 3600,
        "scope": "*",
        "jti": "x",
    }
    right = issuer.claims(nbf=issuer.now, jti="y")
    whole = bytes_of(right)[1:-1]
    for name, value in evil.items():
        member = bytes_of({name: value})[1:-1]
        escaped = member.replace(name.encode(), b"\\u%04x" % ord(name[0]) + name[1:].encode(), 1)
        for how, text in {
            "first": member + b"," + whole,
            "last": whole + b"," + member,
            "escaped": escaped + b"," + whole,
            "the same twice": bytes_of({name: right[name]})[1:-1] + b"," + whole,
        }.items():
            yield f"two {name}, {how}", issuer.signed(claims=b"{" + text + b"}")
    header = bytes_of(issuer.header())[1:-1]
    for name, value in {"alg": "none", "kid": "7", "typ": "JWT"}.items():
        for value in (value, issuer.header()[name]):
            member = bytes_of({name: value})[1:-1]
            for how, text in {"first": member + b"," + header, "last": header + b"," + member}.items():
                yield f"two {name} in the header, {how} {value}", issuer.signed(b"{" + text + b"}")


def headers(issuer):
    wrong = {
        "typ": {
            "absent": GONE,
            "of an ID token": "JWT",
            "unknown": "notes+jwt",
            "of a logout token": "logout+jwt",
            "empty": "",
            "null": None,
            "of DPoP": "dpop+jwt",
            "with a parameter": "at+jwt;v=1",
            "with a blank": "at+jwt ",
            "of another tree": "text/at+jwt",
            "a number": 7,
            "a list": ["at+jwt"],
            "in full, of an ID token": "application/jwt",
            "half of it": "at",
        },
        "crit": {
            "of exp": ["exp"],
            "unknown": ["furt"],
            "empty": [],
            "null": None,
            "of b64": ["b64"],
            "a text": "exp",
            "of alg": ["alg"],
        },
        "kid": {"a number": 7, "null": None, "true": True, "a list": ["rsa"], "an object": {"rsa": "rsa"}},
        "alg": {
            "absent": GONE,
            "in lower case": "rs256",
            "a number": 256,
            "a list": ["RS256"],
            "null": None,
            "with a blank": "RS256 ",
            "with a NUL": "RS256\0",
            "unknown": "XX256",
            "of encryption": "RSA-OAEP",
            "EdDSA": "EdDSA",
            "ES256": "ES256",
        },
    }
    for member, values in wrong.items():
        for name, value in values.items():
            key = issuer.second if (member, name) == ("kid", "a number") else issuer.rsa
            yield f"{member} {name}", issuer.signed(issuer.header(**{member: value}), key=key)


def claims(issuer):
    for kind in (changed, literals, twice, headers):
        yield from kind(issuer)
