"""API keys, as a process sees them: looked up once, then remembered like access tokens.

A key that is not remembered costs a query, which is charged to the address it comes from, before it is made: whoever
makes keys up is refused like everybody without a good token, and beyond that limit unheard. Few are looked up at once.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from starlette.types import Scope

from api.database import Database
from api.edge import rate_limits
from api.identity.key_use import KeyUse
from api.identity.lookout import Lookout
from api.identity.tokens import REMEMBERED_MAX, Identity
from models import errors
from models.identity import api_key_secrets, api_keys
from models.identity.api_key_secrets import MARK, Secret
from models.identity.api_keys import Bearer
from runtime import logs

# Much shorter than revocations are remembered (`models/identity/revocations.py`): what was revoked is looked up again
# before it could be forgotten that it was.
REMEMBERED_SECONDS = 300.0
# So that a machine whose key has ended costs a query now and then, and an owner who is enabled again is soon believed.
REFUSED_SECONDS = 2.0
REFUSED_MAX = 10_000
NEVER = -math.inf
LOOKUPS_AT_ONCE = 4
Clock = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True)
class _Known:
    """Who shows a key, and when the database was asked."""

    identity: Identity
    at: float


class ApiKeys:
    """Finds out for whom a key speaks."""

    def __init__(
        self,
        database: Database,
        lookout: Lookout,
        use: KeyUse,
        roles_that_need_mfa: Collection[str],
        clock: Clock = time.monotonic,
    ) -> None:
        self._database = database
        self._roles_that_need_mfa = roles_that_need_mfa
        self._lookout = lookout
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused_at: OrderedDict[bytes, float] = OrderedDict()
        # Requests that show one key take turns: the first looks it up, and the others find it remembered.
        self._turns = [asyncio.Lock() for _ in range(LOOKUPS_AT_ONCE)]
        self.use = use

    async def verify(self, shown: str, scope: Scope) -> Identity:
        """For whom the key speaks, with which permissions at present.

        Raises:
            errors.InvalidToken: for every reason alike.
            errors.RateLimited: its address has shown too many that were not good.
        """
        fingerprint = api_key_secrets.digest(shown)
        identity = self._recall(fingerprint)
        if identity is None:
            identity = await self._find(shown, scope)
        if identity.expires_at <= time.time():
            raise errors.InvalidToken
        if identity.key_prefix is not None:
            logs.bind(key=identity.key_prefix)
            self.use.note(identity.key_prefix)
        return identity

    def _recall(self, fingerprint: bytes) -> Identity | None:
        """Whom we know to show this; None where it has to be looked up."""
        known = self._remembered.get(fingerprint)
        if known is None or self._clock() - known.at >= REMEMBERED_SECONDS:
            return None
        # What is void has changed, and need not have ended: the role of its owner, or how long it is good for.
        return known.identity if self._lookout.holds(known.identity.epochs) else None

    async def _find(self, shown: str, scope: Scope) -> Identity:
        """Raises errors.InvalidToken, errors.RateLimited."""
        secret = api_key_secrets.read(shown)
        if secret is None:
            raise errors.InvalidToken
        logs.bind(key=secret.prefix)  # Also where it is refused: somebody will look for who shows it still.
        rate_limits.charge_address(scope)
        async with self._turns[secret.sha256[0] % LOOKUPS_AT_ONCE]:
            identity = self._recall(secret.sha256) or await self._look_up(secret)
            if identity is None:  # Somebody changed it at that very moment.
                identity = await self._look_up(secret)
        if identity is None:
            raise errors.InvalidToken
        rate_limits.refund_address(scope)
        return identity

    async def _look_up(self, secret: Secret) -> Identity | None:
        """Ask the database, and remember the answer; None where it is out of date by now.

        Raises:
            errors.InvalidToken: now, or a moment ago.
        """
        at = self._clock()
        if at - self._refused_at.get(secret.sha256, NEVER) < REFUSED_SECONDS:
            raise errors.InvalidToken
        bearer = await self._database.run(api_keys.bearer, secret)
        if bearer is None:
            _remember(self._refused_at, secret.sha256, at, REFUSED_MAX)
            self._remembered.pop(secret.sha256, None)
            raise errors.InvalidToken
        identity = self._identity(bearer)
        _remember(self._remembered, secret.sha256, _Known(identity, at), REMEMBERED_MAX)
        return identity if self._lookout.holds(identity.epochs) else None

    def _identity(self, bearer: Bearer) -> Identity:
        """A key permits nothing as long as its owner has yet to set up a second factor: as with a token of theirs."""
        is_needed = bearer.role in self._roles_that_need_mfa and not bearer.is_service
        return Identity(
            user_id=bearer.user_id,
            role=bearer.role,
            session_id=None,
            expires_at=int(bearer.expires_at.timestamp()),
            epochs=((bearer.user_id, bearer.user_epoch), (bearer.key_id, bearer.key_epoch)),
            must_enrol=is_needed and not bearer.has_second_factor,
            scope=bearer.permissions,
            key_prefix=bearer.prefix,
        )


def is_meant(shown: str) -> bool:
    """Whether this is to be a key. No access token begins like one."""
    return shown.startswith(MARK)


def _remember(memory: OrderedDict[bytes, T], fingerprint: bytes, what: T, most: int) -> None:
    """The newest stands last; the oldest goes where there are too many."""
    memory[fingerprint] = what
    memory.move_to_end(fingerprint)
    if len(memory) > most:
        memory.popitem(last=False)
