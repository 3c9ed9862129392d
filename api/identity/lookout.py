"""The lookout: twice a second, one look at what was revoked and at which keys are trusted, in every API process.

Whatever is revoked is refused here within `LOOK_SECONDS`. A process that could not look for `TRUST_SECONDS` believes no
token at all (503), so that the 5 s of SECURITY S19 hold whatever the database does: what it does not know, it does not
let pass. No request waits for a look, and none costs a query.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Self
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from api.database import Database
from api.identity.tokens import Epochs, Tokens
from api.metrics.measures import Measures
from api.patience import end
from models import errors
from models.identity import revocations, signing_keys
from models.identity.revocations import News
from models.identity.signing_keys import StoredKey
from runtime import database, logs
from runtime.settings import Settings

log = logs.get(__name__)

LOOK_SECONDS = 0.5
TRUST_SECONDS = 4.0
LOCK_TIMEOUT = timedelta(seconds=1)
Clock = Callable[[], float]


class Lookout:
    """What this process knows of revocations, and since when; it keeps `tokens` up to date with the keys.

    It has a connection of its own: it is not to wait behind those who wait for one.
    """

    def __init__(
        self,
        settings: Settings,
        own: Database,
        tokens: Tokens,
        clock: Clock = time.monotonic,
        measures: Measures | None = None,
    ) -> None:
        self._settings = settings
        self._database = own
        self._tokens = tokens
        self._clock = clock
        self._measures = measures or Measures()
        self._upto = revocations.BEGINNING
        self._void: dict[UUID, tuple[int, float]] = {}
        self._keys: Sequence[StoredKey] = ()
        self._looked_at = -TRUST_SECONDS
        self._has_failed = False
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, settings: Settings, own: Database, measures: Measures) -> tuple[Self, Tokens]:
        """Have the first look, and go on looking.

        Raises:
            NoSigningKey, cryptography.exceptions.InvalidTag, SQLAlchemyError: there is nothing to begin with.
        """
        tokens = Tokens(settings, await own.run(signing_keys.load, settings))
        lookout = cls(settings, own, tokens, measures=measures)
        await lookout.look()
        lookout._looking = asyncio.create_task(lookout._keep_looking(), name="lookout")
        return lookout, tokens

    async def close(self) -> None:
        await end([self._looking] if self._looking else [])
        await self._database.engine.dispose()

    def check(self, epochs: Epochs) -> None:
        """Let a credential pass that holds, as far as could be seen a moment ago.

        Raises:
            errors.InvalidToken: it was revoked.
            errors.Unavailable: the last look is too long ago to say.
        """
        if self.is_blind:
            raise errors.Unavailable(cause=errors.Cause.REVOCATIONS_UNSEEN)
        if self._void and not self.holds(epochs):
            raise errors.InvalidToken

    @property
    def is_blind(self) -> bool:
        """Whether the last look that succeeded is too long ago."""
        return self._clock() - self._looked_at >= TRUST_SECONDS

    def still_holds(self, epochs: Epochs) -> bool:
        """As `check`, for long answers, which have begun already and end then."""
        return not self.is_blind and self.holds(epochs)

    def holds(self, epochs: Epochs) -> bool:
        """Whether nothing of it is known to be void."""
        for subject, epoch in epochs:
            found = self._void.get(subject)
            if found is not None and epoch < found[0]:
                return False
        return True

    async def look(self) -> None:
        """Learn what is new. Whatever is revoked after this began, the next look will find."""
        began = self._clock()
        news, stored = await self._database.run(_see, self._upto)
        if stored != self._keys:
            self._tokens.adopt([signing_keys.unseal(each, self._settings) for each in stored])
            self._keys = stored
        self._note(news.void, began)
        self._upto = news.upto
        self._looked_at = began
        self._measures.looked(began)

    def _note(self, void: Mapping[UUID, int], at: float) -> None:
        """Remember what is void, and forget what has expired meanwhile: the oldest stand first."""
        for subject, epoch in void.items():
            known, _ = self._void.pop(subject, (epoch, at))
            self._void[subject] = (max(epoch, known), at)
        expired = at - revocations.REMEMBERED.total_seconds()
        while self._void and (oldest := next(iter(self._void.items())))[1][1] < expired:
            del self._void[oldest[0]]

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # whatever it is, nothing was learned, and time runs out by itself
                self._tell(error)
            else:
                self._tell(None)

    def _tell(self, error: Exception | None) -> None:
        """Say it once when looks begin to fail, and once when they succeed again."""
        if error and not self._has_failed:
            cause, is_strange = database.cause_in_words(error), not isinstance(error, SQLAlchemyError)
            log.warning("revocations cannot be seen; soon no token is believed", **cause, exc_info=is_strange)
        if self._has_failed and not error:
            log.warning("revocations can be seen again")
        self._has_failed = error is not None


def _see(connection: Connection, upto: str) -> tuple[News, Sequence[StoredKey]]:
    return revocations.since(connection, upto), signing_keys.sealed(connection)


def database_of(settings: Settings) -> Database:
    """The lookout's own connection."""
    return Database(database.autocommitting_engine(settings, database.Role.API, 1, LOCK_TIMEOUT))
