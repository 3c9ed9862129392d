"""Cursors: opaque, tamper-evident, and good only for the caller and the filters they were made for (S37)."""

import base64
import binascii
import hashlib
import hmac
import json

from api import malformed

SIGNATURE_BYTES = 16


class Cursors:
    """Signs and reads cursors of one scope: a caller, a route and its filters."""

    def __init__(self, key: bytes, *scope: object) -> None:
        self._key = key
        self._scope = json.dumps(scope, default=str).encode()

    def write(self, *position: str | int) -> str:
        payload = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def read(self, cursor: str) -> list[str]:
        """The position a cursor stands for.

        Raises:
            malformed.InvalidCursor: it was not made here, or for something else.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise malformed.InvalidCursor from None
        signature, payload = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise malformed.InvalidCursor
        return [str(part) for part in json.loads(payload)]

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, self._scope + b"\0" + payload, hashlib.sha256).digest()[:SIGNATURE_BYTES]
