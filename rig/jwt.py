"""An issuer of JSON web tokens, with its keys where a gateway asks for them."""

import base64
import json
import socket
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .http import Address
from .scripted_service import ScriptedService


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(value: Any) -> str:
    return _text(json.dumps(value).encode())


class Issuer:
    """Serves its public key at any path. Ready when constructed."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._service = ScriptedService(self._serve)
        self.address: Address = self._service.address

    def stop(self) -> None:
        self._service.stop()

    def token(self, **claims: Any) -> str:
        """Signed, and good for an hour unless `claims` says otherwise."""
        head = _json({"alg": "RS256", "kid": "1", "typ": "JWT"})
        signed = f"{head}.{_json({'exp': int(time.time()) + 3600, **claims})}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"

    def _serve(self, connection: socket.socket) -> None:
        numbers = self._key.public_key().public_numbers()
        n, e = (_text(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
        body = json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "1", "use": "sig", "n": n, "e": e}]}).encode()
        received = b""
        while data := connection.recv(65536):
            received += data
            if b"\r\n\r\n" in received:
                received = b""
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
