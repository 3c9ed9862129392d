"""The secrets of a local data directory: generated once, kept in a file that only its owner can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.failures import LocalError
from ops.local.broker_users import BrokerPasswords

ROLES = ("admin", "staff", "analyst", "customer")


@dataclass(frozen=True)
class Secrets:
    """`passwords` holds one password per role of the demo users, `broker_passwords` one per user of the broker."""

    secret_key: str
    flower_password: str
    passwords: dict[str, str]
    broker_passwords: dict[str, str]

    @property
    def broker(self) -> BrokerPasswords:
        return BrokerPasswords(**self.broker_passwords)


def load(path: Path) -> Secrets:
    """Read the file, making it first if it is not there. A secret that an older one lacks is added to it.

    Raises:
        LocalError: the file is there and is not ours.
    """
    if not path.exists():
        _write(path, _generated())
    try:
        found = json.loads(path.read_text())
        complete = Secrets(**{**asdict(_generated()), **found})
        if found.keys() != asdict(complete).keys():
            _write(path, complete)
        return complete
    except (ValueError, TypeError) as error:
        raise LocalError(f"{path} is damaged. Remove it to have new secrets and passwords generated.") from error


def email(role: str) -> str:
    return f"{role}@example.com"


def _generated() -> Secrets:
    passwords = {role: secrets.token_urlsafe(12) for role in ROLES}
    return Secrets(secrets.token_hex(32), secrets.token_urlsafe(16), passwords, asdict(BrokerPasswords()))


def _write(path: Path, content: Secrets) -> None:
    """Whole or not at all: written aside with the right mode from the first byte on, then moved into place."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(content), file)
    fresh.replace(path)
