#!/bin/sh
# Makes the certificates of the TLS tests anew: a CA, a server, a client, the same server renewed, a stranger; valid for a hundred years.
set -eu
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -days 36500 -subj '/CN=redisha tests' -out ca.crt
for name in server client renewed; do
  key "$name"
  openssl req -new -key "$name.key" -subj "/CN=$name" | openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 36500 -out "$name.crt"
done
key stranger
openssl req -x509 -new -key stranger.key -days 36500 -subj /CN=stranger -out stranger.crt
openssl ec -in server.key -aes256 -passout pass:secret -out encrypted.key
rm -f ca.key ca.srl
