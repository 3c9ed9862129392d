"""Every operation of the OpenAPI, asked by every sort of caller: the right answer in every cell (S15, S20, S21).

Nothing here lists the operations: a new route is in the matrix on the day it is written, and the test fails until
`WHO` (tests/access_matrix.py) says who may ask for it. To see the matrix:
`make test ARGS="-n 0 -rP tests/api/test_access_matrix.py"`.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import httpx2
import jwt
import pytest
from access_matrix import (
    CALLERS,
    KNOWN,
    OTHER_CUSTOMER,
    OWNER,
    STRANGERS,
    WHO,
    Cell,
    Foreign,
    Matrix,
    Who,
    due,
    flaw_of,
    who_may,
)
from api_client import Client, Shop
from openapi_client import Description, Operation
from sample_requests import PARAMETERS, SAMPLES, Scene, request_for
from world import World

from models import tables
from models.identifiers import uuid7
from models.identity import signing_keys
from models.identity.permissions import Role
from models.identity.users import User
from runtime import database, settings

REVOKED_SECONDS = 5.0
LONG_AGO_SECONDS = 3600
# Refusals may be recorded there, and nowhere else.
AUDIT = {"audit_log", "audit_unsealed", "audit_seals"}
Operations = Mapping[str, Operation]


@pytest.fixture
def operations(anonymous: Client) -> Operations:
    """All that the running API says it can be asked for."""
    described = Description(anonymous.get("/openapi.json").json())
    return {operation.name: operation for operation in described.operations.values()}


@pytest.fixture
def scene(shop: Shop) -> Callable[[], Scene]:
    return lambda: Scene(shop.world, "sample")


@pytest.fixture
def strangers(shop: Shop, anonymous: Client, scene: Callable[[], Scene]) -> Mapping[str, str | None]:
    """Authorization headers that are worth nothing; the last two were, until their owner was logged out or disabled."""
    people, admin = scene(), shop.client_as(Role.ADMIN)
    tokens = {name: shop.services.tokens.issue(people.person(Role.ADMIN), uuid7()) for name in ("admin", "customer")}
    logged_out, disabled = (people.login(people.person(Role.ADMIN)) for _ in range(2))
    revoked = [shop.services.tokens.issue(grant.user, grant.session_id) for grant in (logged_out, disabled)]
    assert [_status(anonymous, token) for token in revoked] == [200, 200]
    assert anonymous.post("/v1/auth/logout", json={"refresh_token": logged_out.token}).status_code == 204
    assert admin.patch(f"/v1/users/{disabled.user.id}", json={"disabled": True}).status_code == 200
    deadline = time.monotonic() + REVOKED_SECONDS
    while any(_status(anonymous, token) == 200 for token in revoked):
        assert time.monotonic() < deadline, "what is revoked is believed for longer than 5 s"
        time.sleep(0.05)
    customer = shop.services.tokens.issue(people.customer, uuid7())
    headers = [
        None,
        "Bearer garbage",
        f"Digest {tokens['admin']}",
        f"Bearer {_with_claims_of(tokens['admin'], customer)}",
        f"Bearer {_signed(tokens['admin'], moved=-LONG_AGO_SECONDS)}",
        *(f"Bearer {token}" for token in revoked),
    ]
    assert _status(anonymous, _signed(tokens["admin"], moved=0)) == 200, "it is the time that makes it invalid"
    return dict(zip(STRANGERS, headers, strict=True))


def _status(client: Client, token: str) -> int:
    return client.get("/v1/users/me", headers={"Authorization": f"Bearer {token}"}).status_code


def _with_claims_of(wanted: str, own: str) -> str:
    """One's own token, saying what another one says."""
    head, _, signature = own.split(".")
    return f"{head}.{wanted.split('.')[1]}.{signature}"


def _signed(token: str, moved: int) -> str:
    """The same token at another time, signed with the system's own key."""
    with database.transaction(database.Role.API) as connection:
        private = signing_keys.load(connection, settings.current())[0].private
    assert private is not None
    claims = jwt.decode(token, options={"verify_signature": False})
    times = {name: claims[name] + moved for name in ("iat", "exp")}
    return jwt.encode(claims | times, private, "EdDSA", jwt.get_unverified_header(token))


def test_s20_of_every_operation_it_is_written_down_who_may_ask_for_it(operations: Operations) -> None:
    for name in operations:
        who_may(name)
    gone = (WHO.keys() | SAMPLES.keys()) - operations.keys()
    assert not gone, f"these are no operations (any more): {sorted(gone)}"


def test_s15_s20_s21_every_caller_of_every_operation_gets_the_answer_that_is_due(
    shop: Shop, operations: Operations, strangers: Mapping[str, str | None], scene: Callable[[], Scene]
) -> None:
    matrix = Matrix()
    asking = Asking(shop, strangers, scene)
    for name, operation in operations.items():
        who = who_may(name)
        matrix.rows[name] = asking.everybody(operation) if who.roles is None else asking.each(operation, who)
    print(matrix)  # noqa: T201 - for whoever asks to see it
    assert len(matrix) == len(operations) * len(CALLERS)
    flaws = "\n".join(matrix.flaws())
    assert not flaws, f"\n{matrix}\n{flaws}\nIf a sample request is at fault: SAMPLES in tests/sample_requests.py"


def test_s21_what_is_part_of_anothers_thing_is_missing_under_ones_own(
    shop: Shop, operations: Operations, scene: Callable[[], Scene]
) -> None:
    """Somebody else's transition, asked for by the id of one's own order."""
    owned = [each for each in operations.values() if who_may(each.name).foreign is Foreign.IS_MISSING]
    nested = [(operation, re.findall(r"{(\w+)}", operation.path)) for operation in owned]
    nested = [(operation, names) for operation, names in nested if len(names) > 1]
    assert nested
    for operation, (whole, part) in nested:
        mine, theirs = scene(), scene()
        client = shop.client(mine.customer)
        present, missing = PARAMETERS[part]
        answers = [
            client.request(operation.method, operation.path.format(**{whole: PARAMETERS[whole][0](mine), part: each}))
            for each in (present(mine), present(theirs), missing)
        ]
        assert answers[0].is_success
        assert not flaw_of(answers[1], "404", answers[2])


class Asking:
    """Asks as everybody in turn."""

    def __init__(self, shop: Shop, strangers: Mapping[str, str | None], scene: Callable[[], Scene]) -> None:
        self._shop, self._strangers, self._scene = shop, strangers, scene
        self._http = shop.client()

    def everybody(self, operation: Operation) -> dict[str, Cell]:
        """An operation that is open to all: a token is not even looked at, and a bad one does no harm."""
        row, shapes = {}, set()
        for caller in CALLERS:
            scene = self._scene()
            answer = request_for(operation, scene).send(self._http, self._credentials(scene, caller))
            shapes.add((answer.status_code, *(answer.json() if answer.content else ())))
            flaw = flaw_of(answer, "2xx") or ("" if len(shapes) == 1 else "not as the others")
            row[caller] = Cell("2xx", answer.status_code, flaw)
        return row

    def each(self, operation: Operation, who: Who) -> dict[str, Cell]:
        """First those who are to be refused, which must not change anything; then the others, each with things anew."""
        refused = [caller for caller in CALLERS if due(who, caller) != "2xx"]
        scene, row = self._scene(), {}
        sample, for_nothing = request_for(operation, scene), request_for(operation, scene, for_nothing=True)
        credentials = {caller: self._credentials(scene, caller) for caller in refused}
        before = contents(self._shop.world)
        for caller, authorization in credentials.items():
            answer, status = sample.send(self._http, authorization), due(who, caller)
            missing = for_nothing.send(self._http, authorization) if status == "404" else None
            row[caller] = Cell(status, answer.status_code, flaw_of(answer, status, missing))
        changed = [name for name, content in contents(self._shop.world).items() if content != before[name]]
        if changed and not any(cell.flaw for cell in row.values()):
            row = {caller: replace(cell, flaw=f"the refused changed {changed}") for caller, cell in row.items()}
        return row | {caller: self._admitted(operation, who, caller) for caller in CALLERS if caller not in refused}

    def _admitted(self, operation: Operation, who: Who, caller: str) -> Cell:
        scene = Scene(self._shop.world, "sample", KNOWN[caller])
        order, sample = str(scene.order_id), request_for(operation, scene)
        credentials = self._token_of(sample.asker) if sample.asker else self._credentials(scene, caller)
        answer = sample.send(self._http, credentials)
        flaw = flaw_of(answer, "2xx")
        if who.foreign is Foreign.IS_NOT_LISTED and (order in answer.text) == (caller == OTHER_CUSTOMER):
            flaw = flaw or f"{order} is listed for who must not see it, or not for who may"
        return Cell("2xx", answer.status_code, flaw)

    def _credentials(self, scene: Scene, caller: str) -> str | None:
        if caller in STRANGERS:
            return self._strangers[caller]
        return self._token_of(scene.customer if caller == OWNER else scene.person(KNOWN[caller]))

    def _token_of(self, user: User) -> str:
        return f"Bearer {self._shop.services.tokens.issue(user, uuid7())}"


def contents(world: World) -> dict[str, str]:
    """A fingerprint of all rows of every table."""
    rows = "md5(coalesce(string_agg(CAST(t AS text), ',' ORDER BY CAST(t AS text)), ''))"
    names = [table.name for table in tables.metadata.sorted_tables if table.name not in AUDIT]
    found = world.sql(" UNION ALL ".join(f"SELECT '{name}', {rows} FROM {name} AS t" for name in names))
    return {row[0]: row[1] for row in found}


def test_a_matrix_that_finds_nothing_proves_nothing(anonymous: Client) -> None:
    """A success where a refusal is due, a refusal without its header, another one than of a missing thing."""
    open_to_all, unknown = anonymous.get("/health/liveness"), anonymous.get("/v1/nowhere")
    refused = anonymous.get("/v1/users/me")
    assert flaw_of(open_to_all, "401") and flaw_of(refused, "403") and flaw_of(refused, "2xx")
    assert flaw_of(unknown, "404", refused) and not flaw_of(unknown, "404", anonymous.get("/v1/elsewhere"))
    without = httpx2.Response(401, headers={"Content-Type": "application/problem+json"})
    assert flaw_of(without, "401").startswith("WWW-Authenticate")
