"""An issuer on a free port of 127.0.0.1 whose tokens are hostile, and some that are good.
It prints a line of JSON of itself: `url`, `issuer`, `other`. A line of each token follows: `name`, `good`, `token`, whose bytes are
written as Latin-1. An empty line ends them. It serves /jwks, and /other-jwks of another issuer, which has a key with a kid of
this one's. Whatever else is asked for is a trap. GET /counts says how often each path was. It ends with its standard input."""

import collections
import http.server
import json
import sys
import threading
import warnings

import forge
from claims import claims
from forgeries import forgeries
from good import good
from shapes import shapes
from signatures import signatures

# joserfc warns of the name EdDSA, which furt knows.
warnings.simplefilter("ignore")
COUNTS = collections.Counter()
# What is answered at which path.
ANSWERS = {"/counts": lambda: COUNTS}


def serve():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            told = ANSWERS.get(self.path, dict)()
            if self.path != "/counts":
                COUNTS[self.path] += 1
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def tell(name, is_good, token):
    print(json.dumps({"name": name, "good": is_good, "token": token.decode("latin-1")}))


def main():
    url = serve()
    issuer, other = forge.Issuer(url), forge.rsa_key()
    issuer.other, issuer.other_key, issuer.trap = f"{url}/realms/other", other, f"{url}/trap"
    other_set = {"keys": [forge.public_jwk(other) | {"kid": "rsa"}]}
    ANSWERS.update({"/jwks": issuer.jwks, "/other-jwks": lambda: other_set})
    # What the header of a token may lead to vouches for the attacker.
    ANSWERS["/trap/jku"] = lambda: {"keys": [forge.public_jwk(issuer.attacker) | {"kid": "rsa"}]}
    print(json.dumps({"url": url, "issuer": issuer.url, "other": issuer.other}))
    for name, token in good(issuer):
        tell(name, True, token)
    for kind in (forgeries, claims, signatures, shapes):
        for name, token in kind(issuer):
            tell(f"{kind.__name__}: {name}", False, token)
    print(flush=True)
    sys.stdin.read()


main()
