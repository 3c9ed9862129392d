"""The keys that sign access tokens: Ed25519, the private part sealed with a key derived from SECRET_KEY."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, Connection, LargeBinary, Table, Text, insert, select

from models.metadata import created_at, enumeration, metadata, one_of
from runtime import secret
from runtime.settings import Settings

NONCE_BYTES = 12


class KeyState(StrEnum):
    ACTIVE = "active"
    RETIRED = "retired"


signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False, comment="32 raw bytes"),
    Column("sealed_private_key", LargeBinary, nullable=False, comment="AES-256-GCM: nonce, then ciphertext"),
    enumeration("state"),
    created_at(),
    one_of("state", KeyState),
)


@dataclass(frozen=True)
class SigningKey:
    kid: str
    public: Ed25519PublicKey
    private: Ed25519PrivateKey
    state: KeyState
    created_at: datetime


def _seal(settings: Settings) -> AESGCM:
    return AESGCM(secret.derive(settings, "signing-keys"))


def create(connection: Connection, settings: Settings) -> str:
    """Make a new active key and return its kid."""
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    kid, nonce = secrets.token_urlsafe(12), secrets.token_bytes(NONCE_BYTES)
    connection.execute(
        insert(signing_keys).values(
            kid=kid,
            public_key=private.public_key().public_bytes_raw(),
            sealed_private_key=nonce + _seal(settings).encrypt(nonce, raw, kid.encode()),
            state=KeyState.ACTIVE,
        )
    )
    return kid


def ensure(connection: Connection, settings: Settings) -> None:
    """Make the first key of a new system."""
    if connection.execute(select(signing_keys.c.kid).limit(1)).one_or_none() is None:
        create(connection, settings)


def load(connection: Connection, settings: Settings) -> list[SigningKey]:
    """Every key, the newest first.

    Raises:
        cryptography.exceptions.InvalidTag: SECRET_KEY is not the one the keys were sealed with.
    """
    rows = connection.execute(select(signing_keys).order_by(signing_keys.c.created_at.desc()))
    keys = []
    for row in rows:
        nonce, sealed = row.sealed_private_key[:NONCE_BYTES], row.sealed_private_key[NONCE_BYTES:]
        private = Ed25519PrivateKey.from_private_bytes(_seal(settings).decrypt(nonce, sealed, row.kid.encode()))
        keys.append(SigningKey(row.kid, private.public_key(), private, KeyState(row.state), row.created_at))
    return keys
