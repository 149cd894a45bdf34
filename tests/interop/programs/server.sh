#!/bin/sh
# A script that does something first and ends as a server: $1 is the service, whose file x is made in the working folder.
set -eu
mkdir -p "$1"
echo shell >"$1/x"
exec python3 -m http.server --bind 127.0.0.1 "$PORT" 2>/dev/null
