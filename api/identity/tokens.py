"""Access tokens: JWTs signed with EdDSA (RFC 8725, RFC 9068), verified once and then remembered until they expire."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from models import errors
from models.identifiers import uuid7
from models.identity import revocations
from models.identity.permissions import Permission, Role
from models.identity.signing_keys import KeyState, SigningKey
from models.identity.users import User
from runtime.settings import Settings

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
TOKEN_CHARACTERS_MAX = 4096
LEEWAY_SECONDS = 30
REMEMBERED_MAX = 100_000
FORBIDDEN_HEADERS = frozenset({"jku", "x5u", "jwk", "x5c", "crit", "b64"})
REQUIRED_CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti", "role", "sid", "epoch")
# The scope (RFC 9068, section 2.2.3) of who has yet to set up multi-factor login. Other tokens have none: the role says
# what they permit.
ENROLMENT_SCOPE = Permission.MANAGE_MFA.value
# How the user was authenticated (RFC 8176).
PASSWORD_ALONE, TWO_FACTORS = ("pwd",), ("pwd", "otp", "mfa")
KID = re.compile(r"[A-Za-z0-9_-]{1,64}")


# Whose revocation makes a credential void, each with the epoch it is of (`models/identity/revocations.py`).
Epochs = tuple[tuple[UUID, int], ...]


@dataclass(frozen=True)
class Identity:
    """Whom a token or an API key speaks for, in which session, and until when (Unix seconds).

    A key has no session, and `scope`: what it permits, as far as the role does.
    """

    user_id: UUID
    role: Role
    session_id: UUID | None
    expires_at: int
    epochs: Epochs
    must_enrol: bool = False
    scope: frozenset[Permission] | None = None
    key_prefix: str | None = None


class NoSigningKey(Exception):
    """The database has no key that signs; `orders migrate` makes one."""


class Tokens:
    """Issues and verifies access tokens with the keys that are trusted at present."""

    def __init__(self, settings: Settings, keys: Sequence[SigningKey]) -> None:
        self._settings = settings
        self._remembered: OrderedDict[bytes, Identity] = OrderedDict()
        self._verifiers: Mapping[str, Ed25519PublicKey] = {}
        self.adopt(keys)

    def adopt(self, keys: Sequence[SigningKey]) -> None:
        """Trust these keys and no others, from now on.

        Raises:
            NoSigningKey: none of them signs.
        """
        signing = [(key.kid, key.private) for key in keys if key.state is KeyState.ACTIVE and key.private is not None]
        if not signing:
            raise NoSigningKey(NoSigningKey.__doc__)
        [(self._kid, self._private)] = signing
        verifiers = {key.kid: key.public for key in keys}
        if self._verifiers.keys() - verifiers.keys():  # What such a key signed may have been remembered.
            self._remembered.clear()
        self._verifiers = verifiers

    def issue(self, user: User, session_id: UUID) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "sub": str(user.id),
            "role": user.role,
            "sid": str(session_id),
            "epoch": user.token_epoch,
            "iat": now,
            "exp": now + int(self._settings.access_token_life.total_seconds()),
            "jti": str(uuid7()),
            "amr": TWO_FACTORS if user.mfa_since else PASSWORD_ALONE,
        }
        if user.mfa_since is None and user.role in self._settings.roles_that_need_mfa:
            claims["scope"] = ENROLMENT_SCOPE
        return jwt.encode(claims, self._private, ALGORITHM, headers={"kid": self._kid, "typ": TYPE})

    def verify(self, token: str) -> Identity:
        """Whom the token speaks for.

        Raises:
            errors.InvalidToken: for every reason alike.
        """
        fingerprint = hashlib.sha256(token.encode()).digest()
        identity = self._remembered.get(fingerprint)
        if identity is None:
            identity = self._verify(token)
            self._remembered[fingerprint] = identity
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        if identity.expires_at + LEEWAY_SECONDS <= time.time():
            self._remembered.pop(fingerprint, None)
            raise errors.InvalidToken
        return identity

    def public_keys(self) -> Mapping[str, bytes]:
        """The raw Ed25519 public keys by kid."""
        return {kid: key.public_bytes_raw() for kid, key in self._verifiers.items()}

    def _verify(self, token: str) -> Identity:
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise errors.InvalidToken
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._verifiers[_acceptable_kid(header)],
                algorithms=[ALGORITHM],
                issuer=self._settings.token_issuer,
                audience=self._settings.token_audience,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED_CLAIMS)},
            )
            return self._identity(claims)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise errors.InvalidToken from None

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        """What the claims say, with the types PyJWT leaves unchecked.

        Raises:
            ValueError: a claim has the wrong type, or the token lives longer than ours do.
        """
        issued_at, expires_at, epoch = claims["iat"], claims["exp"], claims["epoch"]
        if any(type(each) is not int for each in (issued_at, expires_at, epoch)):
            raise ValueError("claim type")
        if any(type(claims[name]) is not str for name in ("jti", "sid")):
            raise ValueError("claim type")
        if expires_at - issued_at > self._settings.access_token_life.total_seconds():
            raise ValueError("life too long")
        if "scope" in claims and claims["scope"] != ENROLMENT_SCOPE:
            raise ValueError("scope")
        user_id, session_id = UUID(claims["sub"]), UUID(claims["sid"])
        epochs = ((user_id, epoch), (session_id, revocations.FIRST_EPOCH))
        return Identity(user_id, Role(claims["role"]), session_id, expires_at, epochs, must_enrol="scope" in claims)


def _acceptable_kid(header: Mapping[str, Any]) -> str:
    kid = header.get("kid")
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM or FORBIDDEN_HEADERS & header.keys():
        raise ValueError("header")
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        raise ValueError("kid")
    return kid
