"""Everything that can be refused, as one tree. `code` is part of the contract; the docstring is the default message.

    OrderPipelineError
    ├── Unauthenticated          InvalidCredentials · InvalidToken · InvalidRefreshToken · MfaRequired · InvalidMfaCode
    ├── Forbidden                WrongPassword · WrongCode · MfaEnrolmentRequired
    ├── NotFound
    ├── Refused                  understood, but not acceptable as it is
    │   ├── InvalidRequest       its sorts stand in `api/malformed.py`: only the API meets them
    │   ├── UnacceptableOrder    UnknownProduct · MixedCurrencies
    │   ├── WeakPassword · PasswordUnchanged · ReasonRequired · TrackingNumberRequired · PermissionNotHeld ·
    │   │                        NoServiceAccount
    │   └── IdempotencyKey…      Missing · Invalid · Reused
    ├── Conflict                 EmailTaken · DuplicateReference · InvalidTransition · StaleVersion ·
    │                            IdempotencyInProgress · LetterResolved · NothingToReplay · OwnAccount · LastAdmin ·
    │                            MfaAlreadyEnabled · MfaNotEnabled · NoPendingEnrolment · NameTaken · NoAdmin ·
    │                            TooManyKeys · KeyEnded · KeyRotated
    ├── RateLimited              TooManyCodes
    └── Unavailable              TookTooLong

The HTTP status of each class stands in `api/problems.py` and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import getdoc
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True)
class Flaw:
    """One malformed place in a request: `pointer` is an RFC 6901 JSON pointer or a parameter's name."""

    pointer: str
    code: str
    detail: str


class Cause(StrEnum):
    """What the service lacked when it could not answer. It is told to our log, and not to who asked: docs/operations.md
    says what to do about each."""

    STOPPING = "stopping"
    ACCEPTOR_FULL = "acceptor_full"
    TRIES_EXHAUSTED = "tries_exhausted"
    HASHING_FULL = "hashing_full"
    HASHING_SLOW = "hashing_slow"
    REVOCATIONS_UNSEEN = "revocations_unseen"
    ROLLUPS_UNTRUSTED = "rollups_untrusted"
    NO_CONNECTION = "no_connection"
    DATABASE_LOST = "database_lost"
    DATABASE_BUSY = "database_busy"


class OrderPipelineError(Exception):
    """The request could not be fulfilled."""

    code: ClassVar[str] = "error"
    cause: Cause | None = None

    def __init__(self, detail: str | None = None, *, flaws: Sequence[Flaw] = ()) -> None:
        self.detail = detail or getdoc(type(self)) or ""
        self.flaws = tuple(flaws)
        super().__init__(self.detail)

    def facts(self) -> dict[str, object]:
        """Members this refusal adds to its problem document."""
        return {}


class Unauthenticated(OrderPipelineError):
    """Authentication is required: send a valid access token as `Authorization: Bearer …`."""

    code = "unauthenticated"


class InvalidToken(Unauthenticated):
    """The access token is missing, malformed, expired or revoked."""

    code = "invalid_token"


class InvalidCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""

    code = "invalid_credentials"


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is unknown, expired or already used."""

    code = "invalid_refresh_token"


class MfaRequired(Unauthenticated):
    """The password is right, and this account asks for a second factor: send `totp_code` or `recovery_code` with it."""

    code = "mfa_required"


class InvalidMfaCode(Unauthenticated):
    """The code is wrong, expired or already used."""

    code = "invalid_mfa_code"


class Forbidden(OrderPipelineError):
    """You are not permitted to do this."""

    code = "forbidden"


class WrongPassword(Forbidden):
    """The current password is another one; nothing was changed."""

    code = "wrong_password"


class WrongCode(Forbidden):
    """The code that was to confirm this is wrong, expired or already used; nothing was changed."""

    code = "wrong_code"


class MfaEnrolmentRequired(Forbidden):
    """Your role needs multi-factor login, and this token permits nothing but setting it up: `POST
    /v1/users/me/mfa/totp`, confirm it, and log in again.
    """

    code = "mfa_enrolment_required"


class NotFound(OrderPipelineError):
    """There is no such resource."""

    code = "not_found"


class Refused(OrderPipelineError):
    """The request was understood but is not acceptable."""

    code = "refused"


class InvalidRequest(Refused):
    """The request does not have the documented form; `errors` says where."""

    code = "invalid_request"


class UnacceptableOrder(Refused):
    """The order cannot be accepted."""

    code = "unacceptable_order"


class UnknownProduct(UnacceptableOrder):
    """The order names a product that is not for sale."""

    code = "unknown_product"


class MixedCurrencies(UnacceptableOrder):
    """All products of one order must have the same currency."""

    code = "mixed_currencies"


class WeakPassword(Refused):
    """The password is shorter than 8 characters, too common, or made of your own data; choose another."""

    code = "weak_password"


class PasswordUnchanged(Refused):
    """The new password is the current one; choose another."""

    code = "password_unchanged"


class ReasonRequired(Refused):
    """This move needs a reason."""

    code = "reason_required"


class TrackingNumberRequired(Refused):
    """Shipping needs a tracking number."""

    code = "tracking_number_required"


class PermissionNotHeld(Refused):
    """A key cannot be given what no key can have, or what its owner's role does not permit."""

    code = "permission_not_held"


class NoServiceAccount(Refused):
    """This is no service account; people make and rotate their API keys themselves."""

    code = "no_service_account"


class IdempotencyKeyMissing(Refused):
    """Send an Idempotency-Key header, new for every order and the same for every retry of it."""

    code = "idempotency_key_missing"


class IdempotencyKeyInvalid(Refused):
    """An Idempotency-Key has 1 to 255 printable ASCII characters."""

    code = "idempotency_key_invalid"


class IdempotencyKeyReused(Refused):
    """This Idempotency-Key was used for a different request."""

    code = "idempotency_key_reused"


class Conflict(OrderPipelineError):
    """The request contradicts the present state."""

    code = "conflict"


class EmailTaken(Conflict):
    """This e-mail address is already registered."""

    code = "email_taken"


class IdempotencyInProgress(Conflict):
    """A request with this Idempotency-Key is still being worked on; retry in a moment."""

    code = "idempotency_in_progress"


class DuplicateReference(Conflict):
    """You already have an order with this client_reference."""

    code = "duplicate_reference"

    def __init__(self, existing: UUID) -> None:
        super().__init__()
        self.existing = existing

    def facts(self) -> dict[str, object]:
        return {"order": f"/v1/orders/{self.existing}"}


class InvalidTransition(Conflict):
    """The order cannot move there from its present status."""

    code = "invalid_transition"

    def __init__(self, current: str, allowed: Sequence[str]) -> None:
        super().__init__()
        self.current = current
        self.allowed = tuple(allowed)

    def facts(self) -> dict[str, object]:
        return {"current": self.current, "allowed": list(self.allowed)}


class StaleVersion(Conflict):
    """The order has changed since the version named in If-Match."""

    code = "stale_version"


class AttemptsExhausted(Conflict):
    """The pipeline tried this transition often enough and gave it up; ask again."""

    code = "attempts_exhausted"


class LetterResolved(Conflict):
    """This dead letter was resolved in another way; what was done stands."""

    code = "letter_resolved"

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def facts(self) -> dict[str, object]:
        return {"resolved_how": self.how}


class NothingToReplay(Conflict):
    """This dead letter is that of a message which no work stood behind; it can only be discarded."""

    code = "nothing_to_replay"


class OwnAccount(Conflict):
    """Admins cannot disable themselves or give up their own role; another admin can."""

    code = "own_account"


class LastAdmin(Conflict):
    """This is the last admin who can log in; make another one first."""

    code = "last_admin"


class MfaAlreadyEnabled(Conflict):
    """Multi-factor login is on already; turn it off first to set it up anew."""

    code = "mfa_already_enabled"


class MfaNotEnabled(Conflict):
    """Multi-factor login is not on."""

    code = "mfa_not_enabled"


class NoPendingEnrolment(Conflict):
    """There is nothing to confirm, or it waited for more than ten minutes; begin again."""

    code = "no_pending_enrolment"


class NameTaken(Conflict):
    """There is a service account with this name already."""

    code = "name_taken"


class NoAdmin(Conflict):
    """A service account cannot be an admin, because it cannot log in."""

    code = "no_admin"


class TooManyKeys(Conflict):
    """The owner has as many API keys as can be good at once; revoke one first."""

    code = "too_many_keys"


class KeyEnded(Conflict):
    """This API key was revoked or has expired; make a new one."""

    code = "key_ended"


class KeyRotated(Conflict):
    """This API key was rotated, and the key that took its place is in use; rotate that one."""

    code = "key_rotated"

    def __init__(self, successor: UUID) -> None:
        super().__init__()
        self.successor = successor

    def facts(self) -> dict[str, object]:
        return {"rotated_to": str(self.successor)}


class RateLimited(OrderPipelineError):
    """Too many requests; wait as many seconds as Retry-After says."""

    code = "rate_limited"

    def __init__(self, seconds: float = 1.0, *, is_first: bool = False) -> None:
        super().__init__()
        self.seconds = seconds
        self.is_first = is_first  # of the refusals while this delay lasts: the one that is worth noting


class TooManyCodes(RateLimited):
    """Too many wrong codes; wait as many seconds as Retry-After says, or use a recovery code."""

    code = "too_many_codes"


class Unavailable(OrderPipelineError):
    """The service cannot answer right now; retry in a moment."""

    code = "unavailable"

    def __init__(self, detail: str | None = None, *, cause: Cause | None = None) -> None:
        super().__init__(detail)
        self.cause = cause


class TookTooLong(Unavailable):
    """The answer took too long and was given up; what was asked for may have happened all the same."""

    code = "took_too_long"
