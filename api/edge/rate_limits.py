"""How many requests one caller, or one address without a caller, may send to this process (S36).

Buckets in memory: a request costs a dictionary entry and no round trip, so that placing an order waits for nobody.
What several processes allow adds up (docs/decisions/0021-limits.md). Every answer that was counted says what is left,
in the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.types import Scope

from api.edge.client_address import client_address, network_of
from api.metrics.measures import Measures
from models import errors
from runtime import rates
from runtime.settings import Settings

KEYS_MAX = 50_000
# Whoever is asked by everybody whether it still lives must not refuse to say so.
UNCOUNTED = frozenset({"/health/liveness"})
LEFT = "rate_limit"  # where the request's scope keeps the fields of its answer


class Buckets:
    """A token bucket for each key, all of one size, refilled evenly; those not used for longest are forgotten first.

    Of a bucket only the moment is kept at which it will be full again (the generic cell rate algorithm).
    """

    def __init__(self, name: str, rate: str, keys_max: int = KEYS_MAX, measures: Measures | None = None) -> None:
        self._name = name
        self._measures = measures or Measures()
        parsed = rates.parse(rate)
        self._seconds = float(parsed.get_expiry())
        self._interval = self._seconds / parsed.amount
        self._full_at: OrderedDict[str | UUID, float] = OrderedDict()
        self._keys_max = keys_max
        self._left = f'"{name}";r=%d;t=%d'.encode()
        self.policy = f'"{name}";q={parsed.amount};w={parsed.get_expiry()}'.encode()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str | UUID, now: float) -> float:
        """Take one token; how many seconds later the bucket will be full again.

        A bucket that had less than one is left as it is: then that is more than the seconds it fills in.
        """
        full_at = max(self._full_at.get(key, now), now) + self._interval
        self._full_at[key] = full_at if full_at - now <= self._seconds else full_at - self._interval
        self._full_at.move_to_end(key)  # Also who is refused: otherwise they would be forgotten, and begin anew.
        if len(self._full_at) > self._keys_max:
            self._full_at.popitem(last=False)
        return full_at - now

    def give_back(self, key: str | UUID) -> None:
        """Undo one `take` that was granted."""
        if key in self._full_at:
            self._full_at[key] -= self._interval

    def charge(self, key: str | UUID, scope: Scope) -> None:
        """Take one token for a request.

        Raises:
            errors.RateLimited: there is none.
        """
        empty_for = self.take(key, time.monotonic()) - self._seconds
        left = 0 if empty_for > 0 else int(-empty_for / self._interval)
        full_in = self._seconds if empty_for > 0 else self._seconds + empty_for
        scope["state"][LEFT] = (self.policy, self._left % (left, math.ceil(full_in)))
        if empty_for > 0:
            self._measures.rate_limited(self._name)
            raise errors.RateLimited(empty_for)


@dataclass(frozen=True)
class RateLimits:
    callers: Buckets
    addresses: Buckets

    @classmethod
    def of(cls, settings: Settings, measures: Measures) -> "RateLimits":
        callers = Buckets("caller", settings.requests_per_caller, measures=measures)
        return cls(callers, Buckets("address", settings.requests_per_address, measures=measures))


def charge_caller(scope: Scope, caller: UUID) -> None:
    """Count a request whose token is good. Its address is not charged: others may share it.

    Raises:
        errors.RateLimited
    """
    _limits(scope).callers.charge(caller, scope)


def charge_address(scope: Scope) -> None:
    """Count a request without a good token, once.

    Raises:
        errors.RateLimited
    """
    if LEFT not in scope["state"] and scope["path"] not in UNCOUNTED:
        _limits(scope).addresses.charge(network_of(client_address(scope)), scope)


def refund_address(scope: Scope) -> None:
    """The token turned out to be good: the charge to its address is taken back."""
    scope["state"].pop(LEFT, None)
    _limits(scope).addresses.give_back(network_of(client_address(scope)))


def instead_of(error: Exception, scope: Scope) -> Exception:
    """The error of a request, or the refusal to answer even with that.

    Who had no good token, or asked for an unknown path, has not been counted before.
    """
    try:
        charge_address(scope)
    except errors.RateLimited as refusal:
        return refusal
    return error


def fields(scope: Scope) -> Sequence[tuple[bytes, bytes]]:
    """The header fields that tell the sender of a request what is left."""
    if LEFT not in scope["state"]:
        return ()
    policy, left = scope["state"][LEFT]
    return ((b"ratelimit-policy", policy), (b"ratelimit", left))


def _limits(scope: Scope) -> RateLimits:
    limits: RateLimits = scope["app"].state.rate_limits
    return limits
