"""Which system a command speaks to: the configured one, or what `orders up` runs in the data directory."""

import os
from collections.abc import Mapping
from pathlib import Path

from ops.failures import LocalError
from ops.local import data_directory, profile, secrets_file
from runtime import settings
from runtime.settings import Settings


def environment(data: Path, given: Mapping[str, str] = os.environ) -> Mapping[str, str] | None:
    """The settings of that system's processes; None where there is no system to speak to."""
    if given.get("DATABASE_URL"):
        return given
    running = data_directory.recall(data)
    if running is None:
        return None
    own = {"DATABASE_URL": running["database"], "BROKER_URL": running["broker"]}
    return {**profile.DEFAULTS, "SECRET_KEY": secrets_file.load(data / "secrets.json").secret_key, **given, **own}


def configuration(data: Path) -> Settings:
    """The settings of that system, for a command that cannot do without one.

    Raises:
        LocalError: there is no system to speak to.
        SettingsError: DATABASE_URL is set, and another setting is missing or refused.
    """
    found = environment(data)
    if found is None:
        raise LocalError("DATABASE_URL is not set, and nothing runs here: set it, or start everything with make up.")
    return settings.read(found)
