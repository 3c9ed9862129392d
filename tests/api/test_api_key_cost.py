"""What showing an API key costs: a query once, none for a typo, few for who makes keys up; and what is kept of it."""

from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest
from api_client import Client, Shop, assert_problem
from api_process import running
from api_server import serving
from at_once import at_once
from key_holders import key_of, person, showing
from world import World

from api.app import create_app
from models import tables
from models.identity import api_key_secrets
from models.identity.permissions import Permission
from runtime import settings

PER_CALLER, PER_ADDRESS = 10, 5
ME = "/v1/users/me"


def lookups(statements: list[str]) -> int:
    return sum("FROM api_keys" in statement for statement in statements)


def test_many_requests_with_one_key_cost_one_lookup_also_where_they_come_at_once(shop: Shop) -> None:
    made = key_of(person())

    def order() -> int:
        with showing(shop.url, made) as machine:
            return machine.order().status_code

    with shop.statements() as seen:
        assert at_once(*[order] * 12) == [201] * 12
        with showing(shop.url, made) as machine:
            assert {machine.order().status_code for _ in range(20)} == {201}
    assert lookups(seen) == 1


def test_a_mistyped_key_costs_no_lookup_and_one_that_has_ended_not_one_for_each_try(shop: Shop) -> None:
    invented = api_key_secrets.make()
    with shop.statements() as seen:
        for shown, expected in ((invented[:-1] + "!", 0), ("op_", 0), (invented, 1)):
            with Client(shop.url, None, shown) as client:
                for _ in range(4):
                    assert_problem(client.get(ME), 401, "invalid_token")
            assert lookups(seen) == expected


@pytest.fixture
def tight(world: World) -> Iterator[Shop]:
    """An API with tight limits."""
    rates = {"REQUESTS_PER_CALLER": f"{PER_CALLER}/hour", "REQUESTS_PER_ADDRESS": f"{PER_ADDRESS}/hour"}
    with serving(create_app(settings.read({**environ, **rates}))) as server:
        opened = Shop(world, server)
        yield opened
        opened.close()


def test_s36_who_makes_keys_up_is_refused_by_their_address_and_then_not_looked_up(tight: Shop) -> None:
    known, new = (key_of(person(email=email)) for email in ("ada@example.com", "eve@example.com"))
    with showing(tight.url, known) as machine:
        assert machine.get(ME).status_code == 200
        with tight.statements() as seen:
            statuses = []
            for _ in range(PER_ADDRESS + 3):
                with Client(tight.url, None, api_key_secrets.make()) as client:
                    statuses.append(client.get(ME).status_code)
        assert statuses == [401] * PER_ADDRESS + [429] * 3, "a good key has used up nothing of it"
        assert lookups(seen) == PER_ADDRESS
        assert machine.get(ME).status_code == 200, "who is remembered is not concerned"
    with showing(tight.url, new) as other:
        assert other.get(ME).status_code == 429, "who is not has to wait"


def test_s36_the_keys_of_an_owner_share_one_limit(tight: Shop) -> None:
    ada = person()
    statuses = []
    for made in (key_of(ada), key_of(ada)):
        with showing(tight.url, made) as machine:
            statuses += [machine.get(ME).status_code for _ in range(PER_CALLER // 2 + 1)]
    assert statuses == [200] * PER_CALLER + [429] * 2


def test_s39_a_secret_gets_nowhere_and_the_log_names_its_prefix(world: World, tmp_path: Path) -> None:
    made, invented = key_of(person(), [Permission.SEE_ACCOUNT]), api_key_secrets.make()
    with running(tmp_path, {}) as process:
        with showing(process.url, made) as machine, Client(process.url, None, invented) as stranger:
            for path in (ME, "/v1/orders", f"/v1/orders/{made.secret}", f"{ME}?token={made.secret}", "/v1/api-keys"):
                machine.get(path)
                stranger.get(path)
            machine.post("/v1/orders", content=made.secret, headers={"Idempotency-Key": "one"})
        assert world.sql("SELECT last_used_at FROM api_keys") == [(None,)], "no request writes that"
    assert world.sql("SELECT last_used_at > created_at FROM api_keys") == [(True,)], "the end of the process did"
    lines = process.lines("request")
    statuses = [line["status"] for line in lines if line["key"] == made.key.prefix]
    assert statuses == [200, 403, 403, 400, 403, 403]
    assert [line["status"] for line in lines if line["key"] == invented[:13]] == [401] * 5, "who shows it still?"
    rows = [str(world.sql(f'SELECT CAST(t AS text) FROM "{name}" AS t')) for name in tables.metadata.tables]
    written = process.log.read_text() + "".join(rows)
    assert made.key.prefix in written
    assert made.secret[14:40] not in written and invented[14:40] not in written
