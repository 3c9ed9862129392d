"""An authenticator app, written from the RFCs and not with the library that the API uses."""

import base64
import hashlib
import hmac
import struct
import time

STEP_SECONDS = 30
# Codes that are computed now are still to be what they are when the API looks at them.
LEFT_SECONDS_MIN = 5


def hotp(key: bytes, counter: int, digits: int = 6) -> str:
    """RFC 4226, section 5.3."""
    mac = hmac.digest(key, struct.pack(">Q", counter), hashlib.sha1)
    start = mac[-1] & 0xF
    [number] = struct.unpack(">I", mac[start : start + 4])
    return str((number & 0x7FFFFFFF) % 10**digits).zfill(digits)


class Phone:
    """Shows the codes of one secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._key = base64.b32decode(secret)

    def code(self, steps_later: int = 0) -> str:
        """The code of this step, or of a later (or earlier) one. Not in the last moments of a step."""
        left = STEP_SECONDS - time.time() % STEP_SECONDS
        if left < LEFT_SECONDS_MIN:
            time.sleep(left)
        return hotp(self._key, int(time.time()) // STEP_SECONDS + steps_later)

    def wrong_code(self) -> str:
        """A code that is right at no time that matters."""
        right = {self.code(steps) for steps in range(-5, 6)}
        return next(code for code in map("{:06}".format, range(100)) if code not in right)
