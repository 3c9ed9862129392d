"""One process's row in `nodes`: who it is, and when it is time to say so again.

Saying so is never worth a failure: a process whose row cannot be written goes on, and tries again the next time.
"""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from models import nodes
from models.nodes import Node, NodeRole
from runtime import clock, logs

log = logs.get(__name__)

REPORT_SECONDS = 3.0


class Presence:
    """What this process says of itself, and when it said so last."""

    def __init__(self, name: str, role: NodeRole) -> None:
        self._node = Node(name, role, os.getpid(), socket.gethostname(), clock.now())
        self._reported_at = float("-inf")

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._reported_at >= REPORT_SECONDS

    def report(
        self,
        connection: Connection,
        leads_since: datetime | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Write the row, whether it is due or not."""
        self._reported_at = time.monotonic()
        try:
            nodes.report(connection, replace(self._node, leads_since=leads_since, facts=facts or {}))
        except SQLAlchemyError as error:
            log.warning("this process cannot say that it is there", error=type(error).__name__)

    def leave(self, connection: Connection) -> None:
        try:
            nodes.leave(connection, self._node.name, self._node.pid)
        except SQLAlchemyError as error:
            log.warning("this process cannot say that it goes", error=type(error).__name__)
