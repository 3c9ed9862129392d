"""The keys that sign access tokens: Ed25519, the private part sealed with a key derived from SECRET_KEY.

A key is published before it signs (`published`), signs alone (`active`), and then (`retired`) verifies what it signed
for as long as that is good. PostgreSQL sees to it that one key at most is active, and one at most is to be next.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import CheckConstraint, Column, Connection, LargeBinary, Row, Table, Text, func, insert, select, text
from sqlalchemy import update as update_of

from models import audit_log, errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.metadata import Instant, created_at, enumeration, index, metadata, one_of
from runtime import secret
from runtime.settings import Settings

NONCE_BYTES = 12
# The longest life of an access token, the verifier's leeway, and a minute for the clocks' differences and for a process
# that did not hear of its successor at once.
TRUSTED_AFTERWARDS = timedelta(minutes=17)


class KeyState(StrEnum):
    PUBLISHED = "published"
    ACTIVE = "active"
    RETIRED = "retired"


signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False, comment="32 raw bytes"),
    Column(
        "sealed_private_key",
        LargeBinary,
        comment="AES-256-GCM: nonce, then ciphertext; destroyed when the key retires",
    ),
    enumeration("state"),
    created_at(),
    Column("activated_at", Instant, comment="since when it signed"),
    Column("trusted_until", Instant, comment="of a retired key: until when the tokens that it signed are good"),
    one_of("state", KeyState),
    CheckConstraint("(state = 'retired') = (trusted_until IS NOT NULL)", name="only_a_retired_one_ends"),
    CheckConstraint("(state = 'retired') = (sealed_private_key IS NULL)", name="a_retired_one_cannot_sign"),
    index(
        "uq_signing_keys_state",
        "state",
        unique=True,
        postgresql_where=text("state <> 'retired'"),
        serves="one key signs, and at most one is to sign next",
    ),
)


@dataclass(frozen=True)
class KeyRecord:
    """What may be told of a key to anybody."""

    kid: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None
    trusted_until: datetime | None
    is_trusted: bool

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        return cls(**{**row._mapping, "state": KeyState(row._mapping["state"])})


@dataclass(frozen=True)
class StoredKey:
    """A key as it lies in the database; comparing two costs nothing, and opening one does."""

    kid: str
    public_key: bytes
    sealed_private_key: bytes | None
    state: KeyState

    @classmethod
    def of(cls, row: Row[str, bytes, bytes | None, str]) -> Self:
        return cls(row.kid, row.public_key, row.sealed_private_key, KeyState(row.state))


@dataclass(frozen=True)
class SigningKey:
    """A trusted key. `private` is there as long as it signs, or is to."""

    kid: str
    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None
    state: KeyState


_KEYS = signing_keys.c
_TRUSTED = (_KEYS.state != KeyState.RETIRED) | (_KEYS.trusted_until > func.now())


def announce(connection: Connection, settings: Settings) -> str:
    """Make and publish the key that is to sign next, unless there is one already; returns its kid."""
    waiting = connection.execute(select(_KEYS.kid).where(_KEYS.state == KeyState.PUBLISHED)).scalar_one_or_none()
    return waiting or _create(connection, settings, KeyState.PUBLISHED)


def rotate(connection: Connection, kid: str, requester: Requester) -> None:
    """`activate`, as somebody asked for it.

    Raises:
        errors.Conflict
    """
    activate(connection, kid)
    audit_log.record(connection, SecurityEvent(EventName.KEY_ROTATED, requester, facts={"kid": kid}))


def activate(connection: Connection, kid: str) -> None:
    """Let a published key sign from now on; the one that did so retires.

    Raises:
        errors.Conflict: it is not published: somebody else activated or withdrew it.
    """
    retired = {"state": KeyState.RETIRED, "trusted_until": func.now() + TRUSTED_AFTERWARDS, "sealed_private_key": None}
    connection.execute(update_of(signing_keys).where(_KEYS.state == KeyState.ACTIVE).values(retired))
    activated = (
        update_of(signing_keys)
        .where(_KEYS.kid == kid, _KEYS.state == KeyState.PUBLISHED)
        .values(state=KeyState.ACTIVE, activated_at=func.now())
    )
    if connection.execute(activated).rowcount == 0:
        raise errors.Conflict(f"Key {kid} is not published any more; nothing was changed.")


def retire(connection: Connection, kid: str, requester: Requester) -> KeyRecord:
    """Trust a key no more, from now on: what it signed is void. A key that is not trusted already stays as it is.

    Raises:
        errors.NotFound: there is no such key.
        errors.Conflict: it is the one that signs.
    """
    known = select(_KEYS.state).where(_KEYS.kid == kid).with_for_update()
    state = connection.execute(known).scalar_one_or_none()
    if state is None:
        raise errors.NotFound(f"There is no key {kid}.")
    if state == KeyState.ACTIVE:
        raise errors.Conflict(f"Key {kid} is the one that signs: rotate first, then retire it.")
    distrusted = {"state": KeyState.RETIRED, "trusted_until": func.now(), "sealed_private_key": None}
    if connection.execute(update_of(signing_keys).where(_KEYS.kid == kid, _TRUSTED).values(distrusted)).rowcount:
        audit_log.record(connection, SecurityEvent(EventName.KEY_RETIRED, requester, facts={"kid": kid}))
    return next(record for record in records(connection) if record.kid == kid)


def ensure(connection: Connection, settings: Settings) -> None:
    """Make the first key of a new system; nobody has to hear of it before it signs."""
    if connection.execute(select(_KEYS.kid).limit(1)).one_or_none() is None:
        activate(connection, announce(connection, settings))


def records(connection: Connection) -> list[KeyRecord]:
    """Every key there ever was, the newest first, without its parts."""
    told = (_KEYS.kid, _KEYS.state, _KEYS.created_at, _KEYS.activated_at, _KEYS.trusted_until)
    rows = connection.execute(select(*told, _TRUSTED.label("is_trusted")).order_by(_KEYS.created_at.desc(), _KEYS.kid))
    return [KeyRecord.of(row) for row in rows]


def sealed(connection: Connection) -> list[StoredKey]:
    """The trusted keys as they are stored, the one that signs first."""
    stored = select(_KEYS.kid, _KEYS.public_key, _KEYS.sealed_private_key, _KEYS.state)
    signer_first = (_KEYS.state != KeyState.ACTIVE, _KEYS.created_at.desc(), _KEYS.kid)
    return [StoredKey.of(row) for row in connection.execute(stored.where(_TRUSTED).order_by(*signer_first))]


def unseal(stored: StoredKey, settings: Settings) -> SigningKey:
    """Raises cryptography.exceptions.InvalidTag: SECRET_KEY is not the one the key was sealed with."""
    private = None
    if stored.sealed_private_key is not None:
        nonce, ciphertext = stored.sealed_private_key[:NONCE_BYTES], stored.sealed_private_key[NONCE_BYTES:]
        raw = _seal(settings).decrypt(nonce, ciphertext, stored.kid.encode())
        private = Ed25519PrivateKey.from_private_bytes(raw)
    return SigningKey(stored.kid, Ed25519PublicKey.from_public_bytes(stored.public_key), private, stored.state)


def load(connection: Connection, settings: Settings) -> list[SigningKey]:
    """The trusted keys, the one that signs first.

    Raises:
        cryptography.exceptions.InvalidTag: SECRET_KEY is not the one the keys were sealed with.
    """
    return [unseal(stored, settings) for stored in sealed(connection)]


def _create(connection: Connection, settings: Settings, state: KeyState) -> str:
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    # Hexadecimal: a name that began with a dash would be an option to the command line.
    kid, nonce = secrets.token_hex(8), secrets.token_bytes(NONCE_BYTES)
    connection.execute(
        insert(signing_keys).values(
            kid=kid,
            public_key=private.public_key().public_bytes_raw(),
            sealed_private_key=nonce + _seal(settings).encrypt(nonce, raw, kid.encode()),
            state=state,
        )
    )
    return kid


def _seal(settings: Settings) -> AESGCM:
    return AESGCM(secret.derive(settings, "signing-keys"))
