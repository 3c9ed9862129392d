"""Who orders: users that are in the database, and the tokens they hold.

Tokens are signed in advance with the system's own key, and every API process is shown each of them once before the
clock starts. So what is measured is a caller whose token the process remembers, which is what all but the first request
of a token's fifteen minutes are. Signing and showing every one of 100 000 users would take longer than the measurement:
the orders of a run come from as many users as there are tokens, drawn evenly from all of them.
"""

import random
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import UUID

import psutil
import psycopg

from api.identity.tokens import Tokens
from models.identifiers import uuid7
from models.identity import signing_keys
from models.identity.permissions import Role
from models.identity.users import User
from ops.failures import LocalError
from ops.processes import ports
from runtime import database
from runtime.settings import Settings

ID_PREFIX = "00000000-0000-7000-8000-"
NO_PASSWORD = "no password"
PIPELINED = 50
DIALS_MAX = 256

_INSERT = f"""
    INSERT INTO users (id, email, role, password_hash)
    SELECT CAST('{ID_PREFIX}' || lpad(to_hex(n), 12, '0') AS uuid), 'customer-' || n || '@example.com', 'customer', %s
    FROM generate_series(1, %s) AS n
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant of ours


def insert_users(connection: psycopg.Connection, count: int) -> None:
    """Users 1 to `count`, who cannot log in."""
    connection.execute(_INSERT, [NO_PASSWORD, count])


def user_id(number: int) -> UUID:
    return UUID(f"{ID_PREFIX}{number:012x}")


def some(count: int, of_users: int) -> list[int]:
    """The numbers of `count` different users, the same ones in every run."""
    return random.Random(1).sample(range(1, of_users + 1), count)  # noqa: S311


def sign_tokens(settings: Settings, numbers: Iterable[int], role: Role = Role.CUSTOMER) -> list[str]:
    """A token for each of these users, as logging in would give them."""
    engine = database.engine(settings, database.Role.API)
    with engine.begin() as connection:
        tokens = Tokens(settings, signing_keys.load(connection, settings))
    engine.dispose()
    now = datetime.now(UTC)
    return [
        tokens.issue(User(user_id(number), "", None, role, NO_PASSWORD, 0, None, None, now), uuid7())
        for number in numbers
    ]


def show(tokens: Sequence[str], port: int, pids: Sequence[int]) -> None:
    """Show every token to each of the API processes that share a port.

    A malformed order id is refused after the token was verified, and without a query.
    """
    requests = [f"GET /v1/orders/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n" for token in tokens]
    with ExitStack() as stack, ThreadPoolExecutor(len(pids)) as threads:
        connections = [stack.enter_context(_dial(port, pid)) for pid in pids]
        for shown in [threads.submit(_send, connection, requests) for connection in connections]:
            shown.result()


def _dial(port: int, pid: int) -> socket.socket:
    """A connection to one certain process of those that share the port: the kernel chooses, so we try until it does."""
    with ExitStack() as others:
        for _ in range(DIALS_MAX):
            connection = socket.create_connection((ports.LOOPBACK, port), timeout=30)
            _send(connection, ["GET /health/liveness HTTP/1.1\r\nHost: x\r\n\r\n"])
            ours = connection.getsockname()
            if any(their.raddr == ours for their in psutil.Process(pid).net_connections("tcp")):
                return connection
            others.enter_context(connection)
    raise LocalError(f"none of {DIALS_MAX} connections to port {port} reached process {pid}.")


def _send(connection: socket.socket, requests: Sequence[str]) -> None:
    """Send requests, some at a time, and wait until as many answers have begun."""
    for first in range(0, len(requests), PIPELINED):
        several = requests[first : first + PIPELINED]
        connection.sendall("".join(several).encode())
        answers = b""
        while answers.count(b"HTTP/1.1 ") < len(several):
            received = connection.recv(1 << 20)
            if not received:
                raise LocalError("an API process closed its connection while it was shown tokens.")
            answers += received
