"""Who may try a password, register or refresh, and how often (S5). Every try is counted before anything is verified.

Tries beyond what is free are let through one per delay, and each delay is twice as long as the last, up to a bound:
nobody is locked out for good. What counts, counts where it came from: tries of one account from one address hold up
nobody at another one. Tries of one account from everywhere are limited too, but not for who has logged in from the same
address lately; so who attacks an account from many addresses does not shut its owner out.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from api.edge.client_address import network_of
from api.identity.counters import Counters
from api.metrics.measures import Measures
from models import errors
from models.identity import users
from runtime import logs, rates
from runtime.settings import Settings

log = logs.get(__name__)

# The longest delay between two tries of one account from one address, and of one account, or from one address, as such.
PAIR_SECONDS_MAX = 15 * 60
WIDE_SECONDS_MAX = 60
KNOWN_SECONDS = 30 * 24 * 3600
DOUBLINGS_MAX = 16
FIRST_REFUSED = 2  # of those who come during a delay; one was let through, and began it


@dataclass(frozen=True)
class Attempt:
    """A login that was counted; what became of it is to be told."""

    account: str
    address: str

    @property
    def pair(self) -> str:
        return f"pair:{self.account}:{self.address}"

    @property
    def known(self) -> str:
        return f"known:{self.account}:{self.address}"


class Throttle:
    def __init__(self, settings: Settings, counters: Counters, measures: Measures) -> None:
        self._settings = settings
        self._measures = measures
        self.counters = counters

    async def login(self, email: str, address: str) -> Attempt:
        """Count a login. The narrow limits come first: what they refuse does not use up the wide ones.

        Raises:
            errors.RateLimited
        """
        attempt = Attempt(_account(email), network_of(address))
        given = self._settings
        await self._delayed(f"from:{attempt.address}", given.logins_per_address, WIDE_SECONDS_MAX)
        await self._delayed(attempt.pair, given.login_tries, PAIR_SECONDS_MAX)
        if not await self.counters.count(attempt.known):
            await self._delayed(f"account:{attempt.account}", given.login_tries_per_account, WIDE_SECONDS_MAX)
            await self._limited("logins", given.logins)
        return attempt

    async def succeeded(self, attempt: Attempt) -> None:
        """The password was right: earlier tries from there are forgotten, and who is there is known for a while."""
        await self._forget(attempt.pair)
        await self.counters.add(attempt.known, KNOWN_SECONDS)

    async def not_verified(self, attempt: Attempt) -> None:
        """Nobody looked at the password, because too many others waited: it was no try."""
        await self._give_back(attempt.pair)

    async def registration(self, address: str) -> None:
        """Count a registration. It is work of the same kind as a login, and shares the limit of all of them.

        Raises:
            errors.RateLimited
        """
        await self._limited(f"registrations:{network_of(address)}", self._settings.registrations_per_address)
        await self._limited("logins", self._settings.logins)

    async def refresh(self, address: str) -> None:
        """Count the use of a refresh token.

        Raises:
            errors.RateLimited
        """
        await self._limited(f"refreshes:{network_of(address)}", self._settings.refreshes_per_address)

    async def password_change(self, user_id: UUID) -> None:
        """Count a try of the present password by somebody who holds an access token.

        Raises:
            errors.RateLimited
        """
        await self._delayed(f"password:{user_id}", self._settings.login_tries, PAIR_SECONDS_MAX)

    async def password_not_verified(self, user_id: UUID) -> None:
        """As `not_verified`."""
        await self._give_back(f"password:{user_id}")

    async def password_changed(self, user_id: UUID) -> None:
        await self._forget(f"password:{user_id}")

    async def _delayed(self, key: str, free: str, seconds_max: int) -> None:
        """So many are free; then one per delay, each delay twice the last.

        Raises:
            errors.RateLimited
        """
        rate = rates.parse(free)
        excess = await self.counters.add(_tries(key), rate.get_expiry()) - rate.amount
        if excess > 0:
            delay = min(2 ** min(excess, DOUBLINGS_MAX), seconds_max)
            turn = await self.counters.add(_delay(key), delay)
            if turn > 1:
                raise self._refusal(key, await self.counters.seconds_left(_delay(key)), is_first=turn == FIRST_REFUSED)

    async def _limited(self, key: str, spelled: str) -> None:
        """So many in a while, and no more before it is over.

        Raises:
            errors.RateLimited
        """
        rate = rates.parse(spelled)
        excess = await self.counters.add(key, rate.get_expiry()) - rate.amount
        if excess > 0:
            raise self._refusal(key, await self.counters.seconds_left(key), is_first=excess == 1)

    async def _give_back(self, key: str) -> None:
        await self.counters.add(_tries(key), rates.parse(self._settings.login_tries).get_expiry(), -1)

    async def _forget(self, key: str) -> None:
        await self.counters.forget(_tries(key))
        await self.counters.forget(_delay(key))

    def _refusal(self, key: str, seconds: float, *, is_first: bool) -> errors.RateLimited:
        limit = key.partition(":")[0]
        self._measures.held_up(limit)
        if is_first:  # The rest of a flood is in the access log.
            log.warning("tries are held up", limit=limit, seconds=round(seconds))
        return errors.RateLimited(seconds, is_first=is_first)


def _tries(key: str) -> str:
    return f"{key}:tries"


def _delay(key: str) -> str:
    return f"{key}:delay"


def _account(email: str) -> str:
    """One name for each account, however its address is spelled; the address itself is not the broker's business."""
    normal = email.casefold()
    with suppress(errors.InvalidRequest):
        normal = users.normal_email(email)
    return hashlib.sha256(normal.encode()).hexdigest()[:32]
