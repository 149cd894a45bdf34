"""An issuer's keys, their set, and tokens of them: by PyJWT, joserfc and jwcrypto, or by hand where these refuse."""

import base64
import hashlib
import hmac
import itertools
import json
import time

import joserfc.jwk
import joserfc.jws
import jwcrypto.jwk
import jwcrypto.jws
import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

# A claim of this value is left out.
GONE = object()
# The secret of the set's one symmetric key, which everyone can read.
OPEN_SECRET = b"a secret that is in a public set"
CURVES = {"ES256": (ec.SECP256R1(), hashes.SHA256(), 32), "ES384": (ec.SECP384R1(), hashes.SHA384(), 48)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def bytes_of(part):
    return part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()


def compact(header, payload, sign):
    """A token of a header and a payload, each bytes or what JSON is made of."""
    signed = b64(bytes_of(header)) + b"." + b64(bytes_of(payload))
    return signed + b"." + b64(sign(signed))


def rs(key, digest=hashes.SHA256()):
    return lambda data: key.sign(data, padding.PKCS1v15(), digest)


def ps(key, digest=hashes.SHA256()):
    return lambda data: key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)


def es(key, digest=hashes.SHA256(), size=32):
    def sign(data):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def hs(secret, name="sha256"):
    return lambda data: hmac.new(secret, data, getattr(hashlib, name)).digest()


def nothing(_):
    return b""


def signer(alg, key):
    if alg.startswith("ES"):
        return es(key, *CURVES[alg][1:])
    return {"RS256": lambda: rs(key), "EdDSA": lambda: key.sign}[alg]()


def pem_of(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key):
    return json.loads(jwcrypto.jwk.JWK.from_pyca(key.public_key()).export_public())


def rsa_key(bits=2048, exponent=65537):
    return rsa.generate_private_key(exponent, bits)


def by_pyjwt(header, claims, key):
    more = {name: value for name, value in header.items() if name != "alg"}
    return jwt.encode(claims, key, header["alg"], more).encode()


def by_joserfc(header, claims, key):
    own = joserfc.jwk.import_key(pem_of(key), {"EC": "EC", "RS": "RSA", "ES": "EC", "Ed": "OKP"}[header["alg"][:2]])
    registry = joserfc.jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    return joserfc.jws.serialize_compact(header, bytes_of(claims), own, registry=registry).encode()


def by_jwcrypto(header, claims, key):
    token = jwcrypto.jws.JWS(bytes_of(claims))
    token.add_signature(jwcrypto.jwk.JWK.from_pyca(key), header["alg"], json.dumps(header))
    return token.serialize(compact=True).encode()


MAKERS = {"PyJWT": by_pyjwt, "joserfc": by_joserfc, "jwcrypto": by_jwcrypto}


class Issuer:
    """Its keys are made anew; their set names each with what it is for."""

    def __init__(self, url):
        self.url = f"{url}/realms/Notes"
        self.rsa, self.second, self.attacker = rsa_key(), rsa_key(), rsa_key()
        self.weak, self.cubic = rsa_key(1024), rsa_key(exponent=3)
        self.encrypting, self.sha512, self.not_verifying = rsa_key(), rsa_key(), rsa_key()
        self.ec, self.ec384 = (ec.generate_private_key(curve) for curve, _, _ in CURVES.values())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.makers = itertools.cycle(MAKERS)
        self.now = int(time.time())

    def jwks(self):
        keys = [
            (self.rsa, {"kid": "rsa", "alg": "RS256", "use": "sig"}),
            # Its name is one that a token can write as a number.
            (self.second, {"kid": "7", "use": "sig"}),
            (self.weak, {"kid": "weak"}),
            (self.cubic, {"kid": "cubic"}),
            (self.encrypting, {"kid": "encrypting", "use": "enc"}),
            (self.sha512, {"kid": "sha512", "alg": "RS512"}),
            (self.not_verifying, {"kid": "not-verifying", "key_ops": ["encrypt"]}),
            (self.ec, {"kid": "ec", "alg": "ES256"}),
            (self.ec384, {"kid": "ec384"}),
            (self.ed, {"kid": "ed", "key_ops": ["verify"]}),
        ]
        odd = [
            {"kty": "oct", "kid": "oct", "k": b64(OPEN_SECRET).decode()},
            {"kty": "AKP", "kid": "akp", "alg": "ML-DSA-44"},
        ]
        return {"keys": odd + [public_jwk(key) | more for key, more in keys]}

    def claims(self, **changes):
        all = {"iss": self.url, "aud": "furt", "sub": "alice", "scope": "notes:read", "iat": self.now}
        all |= {"exp": self.now + 600} | changes
        return {name: value for name, value in all.items() if value is not GONE}

    def header(self, **changes):
        all = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"} | changes
        return {name: value for name, value in all.items() if value is not GONE}

    def signed(self, header=None, claims=None, key=None):
        """One that is rightly signed, byte by byte."""
        header = self.header() if header is None else header
        return compact(header, claims or self.claims(), rs(key or self.rsa))

    def sized(self, size):
        """The same of exactly so many bytes."""
        for more in range(4):
            header = self.header(x="x" * more)
            for note in range(size * 3 // 4):
                claims = self.claims(note="n" * note)
                if len(b64(bytes_of(header))) + len(b64(bytes_of(claims))) + 2 + 342 == size:
                    return self.signed(header, claims)
        raise ValueError(size)

    def made(self, header=None, claims=None, key=None):
        """The same by one library after the other; by hand where none of them does it. And who made it."""
        header, claims, key = header or self.header(), claims or self.claims(), key or self.rsa
        for _ in MAKERS:
            maker = next(self.makers)
            try:
                return f"{maker}: ", MAKERS[maker](header, claims, key)
            except Exception:
                continue
        return "by hand: ", compact(header, claims, signer(header["alg"], key))
