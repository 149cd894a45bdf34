"""An authority: acme2certifier under TLS on 127.0.0.1. Usage: PORT CERTIFICATE KEY"""

import ssl
import sys
from wsgiref.simple_server import make_server

from acme2certifier.share import acme2certifier_wsgi

port, certificate, key = sys.argv[1:]
server = make_server("127.0.0.1", int(port), acme2certifier_wsgi.application)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
