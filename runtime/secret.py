"""Keys for single purposes, derived from the one secret (HKDF, RFC 5869)."""

from functools import cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.settings import Settings


@cache
def derive(settings: Settings, purpose: str) -> bytes:
    """32 bytes that are good for `purpose` and tell nothing about any other."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"order-pipeline/{purpose}".encode())
    return derivation.derive(settings.secret_key.get_secret_value().encode())
