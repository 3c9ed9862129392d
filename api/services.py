"""What an API process holds for as long as it runs."""

import asyncio
from dataclasses import dataclass

from api import acceptor
from api.acceptor import Acceptor
from api.database import Database
from api.identity import lookout
from api.identity.api_keys import ApiKeys
from api.identity.counters import Counters
from api.identity.hashing import HashingGate
from api.identity.key_use import KeyUse
from api.identity.lookout import Lookout
from api.identity.refusals import Refusals
from api.identity.throttle import Throttle
from api.identity.tokens import Tokens
from api.metrics.measures import Measures
from api.metrics.scrape import Scrape
from api.patience import soon
from api.reads import Reads
from api.views.orders import AnswerRenderer
from api.watch import Watch
from models.acceptance import Terms
from models.identity import passwords
from models.identity.sessions import Rules
from models.lifecycle import Policy
from runtime import database, logs, shutdown
from runtime.settings import Settings

log = logs.get(__name__)


@dataclass(frozen=True)
class Services:
    settings: Settings
    policy: Policy
    database: Database
    hurried: Database
    replica: Reads | None
    tokens: Tokens
    api_keys: ApiKeys
    lookout: Lookout
    sessions: Rules
    hashing: HashingGate
    throttle: Throttle
    acceptor: Acceptor
    watch: Watch
    refusals: Refusals
    measures: Measures
    scrape: Scrape

    def reads(self, exact: bool = False) -> Database | Reads:
        """Where to read lists and analytics: from the replica, if there is one. Only the primary knows this moment."""
        return self.database if exact or self.replica is None else self.replica


async def start(settings: Settings, measures: Measures) -> Services:
    """Open what an API process needs; it needs the database for it, and nothing else."""
    api_database = Database(database.async_engine(settings, database.Role.API))
    hurried = Database(acceptor.hurried_engine(settings))
    policy = Policy.of(settings)
    looking, tokens = await Lookout.begin(settings, lookout.database_of(settings), measures)
    hashing = HashingGate()
    # Made now, so that the first unknown user does not cost twice what a known one costs. Not through the gate, which
    # gives up where a busy machine leaves its threads no time: a process would not start then.
    await asyncio.to_thread(passwords.decoy_hash, settings)
    return Services(
        settings=settings,
        policy=policy,
        database=api_database,
        hurried=hurried,
        replica=_replica(settings, api_database),
        tokens=tokens,
        api_keys=ApiKeys(api_database, looking, KeyUse(api_database), settings.roles_that_need_mfa),
        lookout=looking,
        sessions=Rules.of(settings),
        hashing=hashing,
        throttle=Throttle(settings, Counters(settings), measures),
        watch=Watch(api_database),
        refusals=Refusals(api_database),
        acceptor=Acceptor(hurried, api_database, Terms(policy, settings.zone, AnswerRenderer()), measures),
        measures=measures,
        scrape=Scrape.of(settings),
    )


def _replica(settings: Settings, primary: Database) -> Reads | None:
    if settings.database_read_url is None:
        return None
    replica = Database(database.async_engine(settings, database.Role.API, settings.database_read_url))
    return Reads(primary, replica, settings.database_read_lag_max, settings.statement_timeout)


async def stop(services: Services, seconds: float = shutdown.WRITE_SECONDS) -> None:
    """Close what `start` opened, after all that was taken or noted has been written.

    Whatever the database does meanwhile, that takes so many seconds and CLOSE_SECONDS (`runtime/shutdown.py`), and half
    a second for what has to be cut short. What is not written by then is lost, and the log says how much of what.
    """
    await asyncio.gather(
        services.acceptor.close(seconds),
        services.refusals.close(seconds),
        services.api_keys.use.close(seconds),
        services.hashing.close(seconds),
    )
    try:
        await soon(lambda: _let_go(services), shutdown.CLOSE_SECONDS)
    except TimeoutError:
        log.warning("connections are left to be closed by the other end")


async def _let_go(services: Services) -> None:
    if services.replica is not None:
        await services.replica.close()
    await services.throttle.counters.close()
    await services.lookout.close()
    await services.scrape.close()
    for each in (services.hurried, services.database):
        await each.engine.dispose()
