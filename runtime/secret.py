"""Keys for single purposes, derived from the one secret (HKDF, RFC 5869), and what they seal (AES-256-GCM)."""

import secrets
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.settings import Settings

NONCE_BYTES = 12


class SealBroken(Exception):
    """It was sealed with another SECRET_KEY, for another purpose, for somebody else, or it was changed."""


@cache
def derive(settings: Settings, purpose: str) -> bytes:
    """32 bytes that are good for `purpose` and tell nothing about any other."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"order-pipeline/{purpose}".encode())
    return derivation.derive(settings.secret_key.get_secret_value().encode())


def seal(settings: Settings, purpose: str, plain: bytes, whose: bytes) -> bytes:
    """`plain`, such that only who has SECRET_KEY can open it, for the same purpose and the same owner."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(derive(settings, purpose)).encrypt(nonce, plain, whose)


def unseal(settings: Settings, purpose: str, sealed: bytes, whose: bytes) -> bytes:
    """What was sealed.

    Raises:
        SealBroken
    """
    nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(derive(settings, purpose)).decrypt(nonce, encrypted, whose)
    except InvalidTag:
        raise SealBroken from None
