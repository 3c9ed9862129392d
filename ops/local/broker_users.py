"""Who may do what in the broker (Valkey's access control list): as data, and as the file that the server reads.

Everything of ours that runs works as `orders`, which can move messages and count, and nothing else: whoever learns its
password can neither empty the broker, nor configure it, nor list its keys. `supervisor` may do anything. Its password
is in the secrets of a local system and in no process's environment; in docker-compose.yml there is no such user at all.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

WORKS = "orders"
SUPERVISES = "supervisor"
# Later words win: what is dangerous goes again, and of that comes back what Celery, Flower and the limits need.
MAY = (
    "-@all +@read +@write +@connection +@pubsub +@transaction +@blocking -@dangerous "
    "+info +time +eval +evalsha +script|load +script|exists"
)
RULES: Mapping[str, str] = {WORKS: f"~* &* {MAY}", SUPERVISES: "~* &* +@all"}


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class BrokerPasswords:
    """One for each user; new ones unless given."""

    works: str = field(default_factory=_password, repr=False)
    supervises: str = field(default_factory=_password, repr=False)

    def of(self, user: str) -> str:
        return self.works if user == WORKS else self.supervises


def write(path: Path, passwords: BrokerPasswords) -> None:
    """The file that `--aclfile` names. It holds the passwords' SHA-256 only; they have more than 128 bits."""
    lines = ["user default off", *(_line(user, passwords.of(user)) for user in RULES)]
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join([*lines, ""]))


def _line(user: str, password: str) -> str:
    return f"user {user} on #{hashlib.sha256(password.encode()).hexdigest()} {RULES[user]}"
