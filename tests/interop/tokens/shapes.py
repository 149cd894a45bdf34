"""Rightly signed tokens in another form, and what is nearly a token."""

import base64
import json
import string

import jwcrypto.jwk
import jwcrypto.jws

from forge import b64, bytes_of, compact, rs

# The digits of base64url, in their order.
DIGITS = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode()


def around(issuer):
    """A good token, and something more or less."""
    token = issuer.signed()
    header, payload, signature = token.split(b".")
    yield from {
        "a dot behind it": token + b".",
        "a dot before it": b"." + token,
        "garbage behind it": token + b"x",
        "a fourth part": token + b".eA",
        "five parts": token + b".eA.eA",
        "a comma and another one": token + b", " + token,
        "a comma behind it": token + b",",
        "a tilde behind it": token + b"~",
        "a parameter behind it": token + b"; a=b",
        "quotes around it": b'"' + token + b'"',
        "a blank within": header + b" ." + payload + b"." + signature,
        "a tab within": header + b".\t" + payload + b"." + signature,
        "a blank within its payload": header + b"." + payload[:9] + b" " + payload[9:] + b"." + signature,
        "a BOM before it": b"\xef\xbb\xbf" + token,
        "a byte beyond ASCII behind it": token + b"\xff",
        "a soft hyphen within": token[:40] + b"\xc2\xad" + token[40:],
        "an empty header": b"." + payload + b"." + signature,
        "an empty payload": header + b".." + signature,
        "dots alone": b"..",
        "one dot": b".",
        "a word": b"token",
        "the scheme once more": b"Bearer " + token,
        "JSON": json.dumps(
            dict(zip(("protected", "payload", "signature"), map(bytes.decode, token.split(b"."))))
        ).encode(),
    }.items()


def encodings(issuer):
    """The same bytes in another base64."""

    def padded(part):
        return part + b"=" * (-len(part) % 4)

    token = issuer.signed()
    parts = token.split(b".")
    for at, name in enumerate(("header", "payload", "signature")):
        with_padding = [padded(part) if at == number else part for number, part in enumerate(parts)]
        if with_padding == parts:
            with_padding[at] += b"="
        yield f"padding of the {name}", b".".join(with_padding)
        if at < 2:
            signed = b".".join(with_padding[:2])
            yield f"padding of the {name}, signed", signed + b"." + b64(rs(issuer.rsa)(signed))
    last = DIGITS.index(parts[2][-1:])
    assert last % 16 == 0, "256 bytes leave four bits of their last digit unused"
    yield "unused bits of the signature", token[:-1] + DIGITS[last + 1 : last + 2]
    standard = base64.b64encode(base64.urlsafe_b64decode(padded(parts[2]))).rstrip(b"=")
    assert standard != parts[2]
    yield "the signature in the other alphabet", b".".join([*parts[:2], standard])
    body = {"note": "???>>>~~~ÿÿÿ"} | issuer.claims()
    other = [
        base64.b64encode(bytes_of(part)).rstrip(b"=")
        for part in (issuer.header(), json.dumps(body, ensure_ascii=False).encode())
    ]
    signed = b".".join(other)
    assert b"/" in signed or b"+" in signed
    yield "the payload in the other alphabet, signed", signed + b"." + b64(rs(issuer.rsa)(signed))


def json_of_sorts(issuer):
    header, claims = bytes_of(issuer.header()), bytes_of(issuer.claims())
    forms = {
        "a BOM before it": lambda text: b"\xef\xbb\xbf" + text,
        "UTF-16": lambda text: text.decode().encode("utf-16"),
        "a byte that is no UTF-8": lambda text: text[:-1] + b',"note":"\xff"}',
        "an overlong slash": lambda text: text[:-1] + b',"note":"\xc0\xaf"}',
        "half a surrogate pair": lambda text: text[:-1] + b',"no\\ud800te":"x"}',
        "text behind it": lambda text: text + b"x",
        "another object behind it": lambda text: text + text,
        "a NUL behind it": lambda text: text + b"\0",
        "a comma at its end": lambda text: text[:-1] + b",}",
        "a comment": lambda text: b"/**/" + text,
        "single quotes": lambda text: text.replace(b'"', b"'"),
        "no end": lambda text: text[:-1],
        "a list of it": lambda text: b"[" + text + b"]",
        "a text of it": lambda text: json.dumps(text.decode()).encode(),
        "null": lambda _: b"null",
        "a number": lambda _: b"7",
        "an empty object": lambda _: b"{}",
        "a line end within a text": lambda text: text[:-1] + b',"note":"a\nb"}',
        "depth": lambda _: b'{"x":' + b"[" * 2500,
    }
    for name, form in forms.items():
        yield f"a header with {name}", issuer.signed(form(header))
        yield f"a payload with {name}", issuer.signed(claims=form(claims))


def other_forms(issuer):
    key = jwcrypto.jwk.JWK.from_pyca(issuer.rsa)
    header, claims = {"b64": False, "crit": ["b64"]}, bytes_of(issuer.claims())
    token = jwcrypto.jws.JWS(b"x" + claims.replace(b".", b"\\u002e"))
    token.add_signature(key, "RS256", json.dumps(issuer.header(**header)))
    yield "jwcrypto: an unencoded payload", token.serialize(compact=True).encode()
    token = jwcrypto.jws.JWS(claims)
    token.add_signature(key, "RS256", json.dumps(issuer.header()))
    token.detach_payload()
    yield "jwcrypto: a detached payload", token.serialize(compact=True).encode()
    for name, more in {"b64 with crit": header, "b64 without crit": {"b64": False}}.items():
        start, plain = b64(bytes_of(issuer.header(**more))), claims.replace(b".", b"\\u002e")
        signature = b64(rs(issuer.rsa)(start + b"." + plain))
        yield f"{name}: an unencoded payload", start + b"." + plain + b"." + signature
        yield f"{name}: an encoded payload, signed unencoded", start + b"." + b64(plain) + b"." + signature
        yield f"{name}: a detached payload", start + b".." + signature
    yield "a good token within one", compact(issuer.header(cty="JWT"), issuer.signed(), rs(issuer.rsa))
    yield "8 KiB and a byte", issuer.sized(8193)
    yield "9 KiB", issuer.signed(claims=issuer.claims(note="n" * 6500))
    yield "64 KiB", issuer.signed(claims=issuer.claims(note="n" * 48_000))
    yield "9 KiB of dots", b"." * 9216


def shapes(issuer):
    for kind in (around, encodings, json_of_sorts, other_forms):
        yield from kind(issuer)
