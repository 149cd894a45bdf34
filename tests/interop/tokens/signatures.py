"""Signatures that a lenient verifier takes for good."""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from forge import b64, compact, es, ps, rs

# What PKCS #1 puts before a digest (RFC 8017 §9.2).
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def own_padding(key, make):
    """Signs what `make` makes of the digest."""
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n

    def sign(data):
        padded = int.from_bytes(make(hashlib.sha256(data).digest()), "big")
        return pow(padded, numbers.d, modulus).to_bytes(256, "big")

    return sign


def padded(info, fill=b"\xff", end=b""):
    filling = 256 - 3 - len(info) - len(end)
    return b"\x00\x01" + fill * filling + b"\x00" + info + end


def of_rsa(issuer):
    key, header, claims = issuer.rsa, issuer.header(), issuer.claims()
    modulus = key.public_key().public_numbers().n
    paddings = {
        "without NULL in its digest's name": lambda digest: padded(
            bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest
        ),
        "with a digest alone": lambda digest: padded(digest),
        "with a short padding and more behind the digest": lambda digest: padded(SHA256_INFO + digest, end=b"\0" * 100),
        "with a padding of zeros": lambda digest: padded(SHA256_INFO + digest, fill=b"\0"),
        "of block type 2": lambda digest: b"\x00\x02" + padded(SHA256_INFO + digest)[2:],
        "of block type 0": lambda digest: b"\x00\x00" + padded(SHA256_INFO + digest)[2:],
    }
    for name, make in paddings.items():
        yield f"RS256 {name}", compact(header, claims, own_padding(key, make))
    signatures = {
        "of SHA-1": rs(key, hashes.SHA1()),
        "of SHA-512": rs(key, hashes.SHA512()),
        "of SHA-256 by PSS": ps(key),
        "of other data": lambda data: rs(key)(data + b"."),
        "of zeros": lambda _: bytes(256),
        "of one": lambda _: bytes(255) + b"\x01",
        "of the modulus": lambda _: modulus.to_bytes(256, "big"),
        "of one less than the modulus": lambda _: (modulus - 1).to_bytes(256, "big"),
        "with a zero before it": lambda data: b"\0" + rs(key)(data),
        "with a zero behind it": lambda data: rs(key)(data) + b"\0",
        "without its last byte": lambda data: rs(key)(data)[:-1],
        "twice": lambda data: rs(key)(data) * 2,
        "back to front": lambda data: rs(key)(data)[::-1],
    }
    for name, sign in signatures.items():
        yield f"RS256 {name}", compact(header, claims, sign)
    # One in 256 begins with a zero, and is as good without it to who reads numbers.
    for number in range(10_000):
        token = compact(header, issuer.claims(jti=str(number)), rs(key))
        signature = rs(key)(token.rsplit(b".", 1)[0])
        if signature[0] == 0:
            yield "RS256 without its leading zero", token.rsplit(b".", 1)[0] + b"." + b64(signature[1:])
            break
    # A multiple of the modulus more is the same number to who does not look at its size.
    for number in range(10_000):
        signed = compact(header, issuer.claims(jti=str(number)), lambda _: b"x").rsplit(b".", 1)[0]
        more = int.from_bytes(rs(key)(signed), "big") + modulus
        if more < 1 << 2048:
            yield "RS256 plus the modulus", signed + b"." + b64(more.to_bytes(256, "big"))
            break
    yield "RS256 by no key, as the cube of a number", compact(issuer.header(kid="cubic"), claims, cube_root)


def cube_root(data):
    """Without the key of an exponent of 3: right as far as the digest goes."""
    wanted = b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256_INFO + hashlib.sha256(data).digest()
    most = int.from_bytes(wanted + b"\xff" * (256 - len(wanted)), "big")
    low, high = 0, 1 << 700
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= most else (low, middle - 1)
    assert (low**3).to_bytes(256, "big").startswith(wanted)
    return low.to_bytes(256, "big")


def of_ec(issuer):
    key, header, claims = issuer.ec, issuer.header(alg="ES256", kid="ec"), issuer.claims()
    order = P256_ORDER.to_bytes(32, "big")
    right = es(key)
    signatures = {
        "in DER": lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())),
        "of zeros": lambda _: bytes(64),
        "of r = 0": lambda data: bytes(32) + right(data)[32:],
        "of s = 0": lambda data: right(data)[:32] + bytes(32),
        "of r = s = 1": lambda _: (bytes(31) + b"\x01") * 2,
        "of the order": lambda _: order * 2,
        "of r = 1 and s = the order": lambda _: bytes(31) + b"\x01" + order,
        "of r plus the order, longer": lambda data: (int.from_bytes(right(data)[:32], "big") + P256_ORDER).to_bytes(
            33, "big"
        )
        + right(data)[32:],
        "of numbers as long as P-384's": lambda data: b"".join(bytes(16) + half for half in halves(right(data))),
        "of SHA-384": es(key, hashes.SHA384()),
        "with a byte more": lambda data: right(data) + b"\0",
        "with a byte less": lambda data: right(data)[:-1],
        "whose halves are swapped": lambda data: b"".join(reversed(halves(right(data)))),
        "of other data": lambda data: right(data + b"."),
    }
    for name, sign in signatures.items():
        yield f"ES256 {name}", compact(header, claims, sign)


def halves(signature):
    return signature[:32], signature[32:]


def of_ed(issuer):
    key, header, claims = issuer.ed, issuer.header(alg="EdDSA", kid="ed"), issuer.claims()
    identity = b"\x01" + bytes(31)
    signatures = {
        "of zeros": lambda _: bytes(64),
        "of the identity and zero": lambda _: identity + bytes(32),
        "of s plus the order": lambda data: plus_order(key.sign(data)),
        "with a byte more": lambda data: key.sign(data) + b"\0",
        "with a byte less": lambda data: key.sign(data)[:-1],
        "of a digest": lambda data: key.sign(hashlib.sha512(data).digest()),
        "of other data": lambda data: key.sign(data + b"."),
    }
    for name, sign in signatures.items():
        yield f"EdDSA {name}", compact(header, claims, sign)


def plus_order(signature):
    r, s = halves(signature)
    return r + (int.from_bytes(s, "little") + ED25519_ORDER).to_bytes(32, "little")


def signatures(issuer):
    for kind in (of_rsa, of_ec, of_ed):
        yield from kind(issuer)
