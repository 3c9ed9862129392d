"""Clients of the API under test, and what every refusal must look like."""

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
from api_server import Server
from sqlalchemy import event
from world import World

from models.identifiers import uuid7
from models.identity.permissions import Role
from models.identity.users import User

ORDERS = "/v1/orders"
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}

_keys = itertools.count(1)


class Client(httpx2.Client):
    """An HTTP client of one user, or of nobody."""

    def __init__(self, url: str, user: User | None, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Nothing here is TLS, and to read the certificates anew for each client takes longer than most of the tests.
        super().__init__(base_url=url, headers=headers, timeout=30, trust_env=False, verify=False)
        self._user = user

    @property
    def user(self) -> User:
        assert self._user is not None, "this client is nobody"
        return self._user

    def order(self, sku: str = "BOWL", quantity: int = 1, key: str | None = None, **more: Any) -> httpx2.Response:
        """POST an order of one line, under a key of its own unless one is given."""
        body = {"items": [{"sku": sku, "quantity": quantity}], **more}
        return self.post(ORDERS, json=body, headers={"Idempotency-Key": key or f"key-{next(_keys)}"})

    def ask(
        self, order_path: str, to: str, headers: Mapping[str, str] | None = None, /, **more: str
    ) -> httpx2.Response:
        """POST a wish for a transition."""
        return self.post(f"{order_path}/transitions", json={"to": to, **more}, headers=headers)


class Shop:
    """The world of a test, with the API in front of it. Its catalogue begins with one BOWL at 10.00 EUR."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        self.url = server.url
        self.services = server.services
        self._clients: list[Client] = []
        world.product("BOWL")

    def client(self, user: User | None = None) -> Client:
        token = self.services.tokens.issue(user, uuid7()) if user else None
        made = Client(self.url, user, token)
        self._clients.append(made)
        return made

    def client_as(self, role: Role) -> Client:
        return self.client(self.world.user(role))

    def close(self) -> None:
        for client in self._clients:
            client.close()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A pipeline that works on its own, as long as the block runs."""
        done = threading.Event()

        def work() -> None:
            while not done.wait(0.02):
                self.world.work()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The statements the API sends to PostgreSQL while the block runs."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        engine = self.services.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)


def repeated(name: str, *values: str | bytes) -> list[tuple[bytes, bytes]]:
    """One header several times, byte by byte as given."""
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for value in values]


def assert_problem(response: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The response is a problem document (RFC 9457) with this status and code; returns it."""
    assert response.status_code == status, (response.status_code, response.text[:500])
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem.keys() >= PROBLEM_MEMBERS
    assert problem["status"] == status
    assert code in (None, problem["code"]), problem
    return problem


def pages(client: Client, path: str) -> Iterator[list[Any]]:
    """Every page, found by following `Link: rel="next"`."""
    following: str | None = path
    while following:
        response = client.get(following)
        page = response.json()
        assert page["has_more"] == (page["next_cursor"] is not None) == ("Link" in response.headers)
        yield page["data"]
        following = response.links["next"]["url"] if page["has_more"] else None
