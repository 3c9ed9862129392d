"""How the schema came to be: alembic revisions, applied by `orders migrate` and by nothing else."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

DIRECTORY = Path(__file__).parent
# A migration that cannot get its lock in this time fails, to be tried again, and does not queue every order behind it.
LOCK_TIMEOUT = "3s"


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made here so that there is no alembic.ini to keep in step."""
    made = Config()
    made.set_main_option("script_location", str(DIRECTORY))
    made.attributes["connection"] = connection
    return made


@cache
def head() -> str:
    """The revision this code needs."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    assert revision is not None
    return revision


@cache
def revisions() -> frozenset[str]:
    """Every revision this code knows."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def applied(connection: Connection) -> str | None:
    """The revision the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
