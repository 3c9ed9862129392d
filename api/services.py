"""What an API process holds for as long as it runs."""

from dataclasses import dataclass

from api import acceptor
from api.acceptor import Acceptor
from api.database import Database
from api.hashing import HashingGate
from api.reads import Reads
from api.tokens import Tokens
from api.views import AnswerRenderer
from api.watch import Watch
from models import passwords, signing_keys
from models.acceptance import Terms
from models.lifecycle import Policy
from runtime import database
from runtime.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    policy: Policy
    database: Database
    hurried: Database
    replica: Reads | None
    tokens: Tokens
    hashing: HashingGate
    acceptor: Acceptor
    watch: Watch

    def reads(self, exact: bool = False) -> Database | Reads:
        """Where to read lists and analytics: from the replica, if there is one. Only the primary knows this moment."""
        return self.database if exact or self.replica is None else self.replica


async def start(settings: Settings) -> Services:
    """Open what an API process needs; it needs the database for it, and nothing else."""
    api_database = Database(database.async_engine(settings, database.Role.API))
    hurried = Database(acceptor.hurried_engine(settings))
    policy = Policy.of(settings)
    keys = await api_database.run(signing_keys.load, settings)
    hashing = HashingGate()
    # Made now, so that the first unknown user does not cost twice what a known one costs.
    await hashing.run(lambda: passwords.decoy_hash(settings))
    return Services(
        settings=settings,
        policy=policy,
        database=api_database,
        hurried=hurried,
        replica=_replica(settings, api_database),
        tokens=Tokens(settings, keys),
        hashing=hashing,
        watch=Watch(api_database),
        acceptor=Acceptor(hurried, api_database, Terms(policy, settings.zone, AnswerRenderer())),
    )


def _replica(settings: Settings, primary: Database) -> Reads | None:
    if settings.database_read_url is None:
        return None
    replica = Database(database.async_engine(settings, database.Role.API, settings.database_read_url))
    return Reads(primary, replica, settings.database_read_lag_max, settings.statement_timeout)


async def stop(services: Services) -> None:
    """Close what `start` opened; requests that were taken are answered first."""
    await services.acceptor.close()
    services.hashing.close()
    if services.replica is not None:
        await services.replica.close()
    for each in (services.hurried, services.database):
        await each.engine.dispose()
