"""Who acts at the command line: the name that dead letters and the audit log keep."""

import getpass
import os

from models.audit_log import Requester


def name() -> str:
    """Whoever is logged in to this machine. In a container a user may have a number only."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:uid-{os.getuid()}"


def requester() -> Requester:
    return Requester(name())
