"""S39: a word that only we know is sent through every operation and every failure, and then looked for everywhere.

Real processes: an API, a relay, a broker and a worker, which does some of the work and has to give up the rest. The
word is put into passwords, tokens, addresses, names, bodies, queries, paths and headers; it may be found in the columns
that exist to keep it, and nowhere else.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from api_process import ApiProcess, running
from canaries import BASIC, WORD, Attempt, in_tables, on_the_broker, sighted, ways
from database_troubles import TROUBLES, half_of_all_moves_failing
from hostile import CANARY
from hostile_requests import CORPUS, TOKEN
from openapi_client import Description, Operation
from pipeline_nodes import Pipeline, ready
from raw_http import HungUp, connected
from running_system import eventually
from sample_requests import SampleRequest, Scene, request_for
from world import World

from api.identity.tokens import Tokens
from models.identifiers import uuid7
from models.identity import signing_keys
from models.identity.permissions import Role
from models.identity.users import User
from runtime import database, settings

pytestmark = pytest.mark.timeout(180)

OPERATIONS = tuple(Description.committed().operations.values())
# The processes say all that they ever say.
WORDY = {"LOG_LEVEL": "DEBUG"}
API_SETTINGS = {"LOGIN_TRIES": "5/minute", "LOCK_TIMEOUT": "0.3", "DATABASE_POOL_TIMEOUT": "1"}
# What exists to keep what clients say, and is shown to those who may see it (DESIGN.md, section 3).
KEPT = {
    "api_keys.name",
    "users.email",
    "users.name",
    "products.name",
    "products.sku",
    "order_items.name",
    "orders.client_reference",
    "orders.metadata",
    "order_events.reason",
    "transition_requests.reason",
    "dead_letters.resolved_because",
    "idempotency_keys.key",
    "idempotency_keys.body",
}
# Failures that requests meet. 500: our own; 503: the database is locked, or away.
STATUSES = {400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422, 429, 431, 500, 503}


class Sender:
    """Sends with every right there is, and keeps what the answers were and every secret that was in use."""

    def __init__(self, world: World, api: ApiProcess, http: httpx2.Client) -> None:
        self.world, self.api, self._http = world, api, http
        with database.transaction(database.Role.API) as connection:
            self._tokens = Tokens(settings.current(), signing_keys.load(connection, settings.current()))
        self.statuses: Counter[int] = Counter()
        self.request_ids: list[str] = []
        self.secrets: set[str] = set()
        self.echoes: list[str] = []

    def send(self, *attempts: Attempt, at_once: int = 1) -> None:
        with ThreadPoolExecutor(at_once) as threads:
            for attempt, answer in zip(attempts, threads.map(self._ask, attempts), strict=True):
                self._note(attempt, answer)

    def _ask(self, attempt: Attempt) -> httpx2.Response:
        return self._http.request(
            attempt.method, attempt.target, content=attempt.content, headers=dict(attempt.headers)
        )

    def _note(self, attempt: Attempt, answer: httpx2.Response) -> None:
        self.statuses[answer.status_code] += 1
        self.request_ids.append(answer.headers["X-Request-ID"])
        if answer.is_error and WORD in (answer.text + str(answer.headers)).lower():
            self.echoes.append(f"{attempt}: {answer.text}")
        if answer.is_success and "access_token" in answer.text:
            self._keep(answer.json()["access_token"])
            self.secrets.add(answer.json()["refresh_token"])
        if answer.is_success and ("/mfa" in attempt.target or "/api-keys" in attempt.target):
            found = answer.json() if answer.content else {}
            self.secrets |= {found[name] for name in ("secret", "otpauth_uri") if name in found}
            for code in found.get("recovery_codes", ()):
                self.secrets |= {code, code.replace("-", "")}

    def _keep(self, token: str) -> None:
        """Its first part is in every token, and no secret."""
        self.secrets |= {token, *token.split(".")[1:]}

    def token_of(self, user: User) -> str:
        token = self._tokens.issue(user, uuid7())
        self._keep(token)
        return f"Bearer {token}"

    def missing_in_the_log(self) -> set[str]:
        """The requests without a line in the access log, which is written behind the answer."""
        return set(self.request_ids) - {line["request_id"] for line in self.api.lines("request")}

    def good(self, *operations: Operation) -> list[Attempt]:
        """Requests that succeed, each of an admin and of a scene of its own."""
        scenes = [Scene(self.world, WORD, Role.ADMIN) for _ in operations]
        samples = [request_for(operation, scene) for operation, scene in zip(operations, scenes, strict=True)]
        askers = [sample.asker or scene.person(Role.ADMIN) for sample, scene in zip(samples, scenes, strict=True)]
        return [
            Attempt.of(sample, Authorization=self.token_of(asker))
            for sample, asker in zip(samples, askers, strict=True)
        ]


@pytest.fixture
def api(nodes: Pipeline, tmp_path: Path) -> Iterator[ApiProcess]:
    with running(tmp_path, {**API_SETTINGS, **WORDY, "BROKER_URL": nodes.broker_url}) as started:
        yield started


@pytest.fixture
def sender(world: World, api: ApiProcess) -> Iterator[Sender]:
    with httpx2.Client(base_url=api.url, timeout=30, trust_env=False) as http:
        yield Sender(world, api, http)


def test_s39_a_canary_is_found_nowhere_but_where_it_is_kept(
    world: World, nodes: Pipeline, api: ApiProcess, sender: Sender
) -> None:
    relay = nodes.start_relay(MAX_ATTEMPTS="1", **WORDY)
    ready(relay)
    send_everything(sender)
    send_the_corpus(sender)
    while_the_database_is_in_trouble(sender)
    queued, rows = on_the_broker(nodes.broker_url), in_tables(world)
    with half_of_all_moves_failing(world):
        worker = nodes.start_worker(MAX_ATTEMPTS="1", **WORDY)
        eventually(lambda: world.sql("SELECT count(*) FROM outbox") == [(0,)], "all work done or given up", seconds=60)
    eventually(lambda: sender.missing_in_the_log() == set(), "a line for every request")
    written = {node.name: node.log.read_text() for node in (relay, worker)}
    written |= {"api": api.log.read_text(), "broker": queued, "broker, afterwards": on_the_broker(nodes.broker_url)}
    needles = {WORD, BASIC, CANARY, *sender.secrets}

    assert sender.echoes == []
    assert sighted(needles, written) == {}
    found = sighted(needles, in_tables(world))
    assert found.keys() == KEPT, found
    assert sighted(needles, rows).keys() <= KEPT
    assert_everything_was_seen(sender, written, rows, in_tables(world))


def assert_everything_was_seen(
    sender: Sender, written: dict[str, str], before: dict[str, str], after: dict[str, str]
) -> None:
    """Who looks in the wrong place finds nothing either: what has to be there is found, in the same haystacks."""
    assert sender.statuses.keys() >= STATUSES, sender.statuses
    for name in ("unexpected error", "the database is unavailable", "tries are held up"):
        assert name in written["api"], name
    for name in ("batch done", "work failed", "batch failed, trying its halves", "frames"):
        assert name in written["worker"], name
    for haystack in (
        written["broker"],
        written["worker"],
        before["outbox.request_id"],
        after["dead_letters.request_id"],
    ):
        assert any(each in haystack for each in sender.request_ids)
    assert "locked_up" in after["dead_letters.error"] and "locked_up" in after["dead_letters.traceback"]
    planted = {name: f"{haystack} {WORD.upper()}" for name, haystack in (written | after).items()}
    assert sighted([WORD], planted).keys() == planted.keys()


def send_everything(sender: Sender) -> None:
    """Every operation as it should be, thrice, by who may; by who may not; and in every way in which it should not."""
    for operation in OPERATIONS:
        [good] = sender.good(operation)
        sender.send(good, good, good.with_headers(**{"Idempotency-Key": f"{WORD} again"}))
        scene = Scene(sender.world, WORD)
        sample = request_for(operation, scene)
        for role in (Role.CUSTOMER, Role.ANALYST):
            sender.send(Attempt.of(sample, Authorization=sender.token_of(scene.person(role))))
        sender.send(*ways(operation, sample, sender.token_of(scene.person(Role.ADMIN))))
    guess = Attempt.of(SampleRequest("POST", "/v1/auth/login", {"email": f"{WORD}@x.example", "password": WORD}, {}))
    sender.send(*[guess] * 8)
    for target, cookie in ((f"/{WORD}", WORD), (f"/{WORD * 400}", WORD), ("/health/liveness", WORD * 1200)):
        sender.send(Attempt("GET", target, None, {"Cookie": cookie}))


def send_the_corpus(sender: Sender) -> None:
    """What HTTP itself has to refuse."""
    sender.world.product("BOWL")
    token = sender.token_of(sender.world.user()).removeprefix("Bearer ")
    for sent, _ in CORPUS.values():
        with connected(sender.api.address) as wire, suppress(HungUp, ConnectionError):
            wire.send(sent.replace(TOKEN.encode(), token.encode()))
            wire.answer(to_head=sent.startswith(b"HEAD"))


def while_the_database_is_in_trouble(sender: Sender) -> None:
    """Locked, away, refusing every row, and without the tables that we look for: as after a bug of ours."""
    for trouble in TROUBLES:
        requests = sender.good(*OPERATIONS)
        with trouble(sender.world):
            sender.send(*requests, at_once=16)
