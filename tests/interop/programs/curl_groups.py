"""Asks by a curl that was built with BoringSSL, as browsers are, offering one group for the key exchange at a time.
Prints the groups that were agreed on. Usage: PORT CA GROUP..."""

import sys

from curl_cffi import Curl, CurlError, CurlInfo, CurlOpt


def is_agreed_on(port, ca, group):
    curl = Curl()
    curl.setopt(CurlOpt.URL, f"https://a.example:{port}/".encode())
    curl.setopt(CurlOpt.RESOLVE, [f"a.example:{port}:127.0.0.1"])
    curl.setopt(CurlOpt.CAINFO, ca.encode())
    curl.setopt(CurlOpt.SSL_EC_CURVES, group.encode())
    curl.setopt(CurlOpt.TIMEOUT, 30)
    curl.setopt(CurlOpt.WRITEFUNCTION, lambda part: len(part))
    try:
        curl.perform()
    except CurlError as error:
        if error.code != 35:  # No handshake.
            raise
        return False
    return curl.getinfo(CurlInfo.RESPONSE_CODE) > 0


port, ca, *groups = sys.argv[1:]
print(*[group for group in groups if is_agreed_on(port, ca, group)])
