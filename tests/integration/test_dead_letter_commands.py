"""`orders dead-letters`: what somebody at a terminal sees and does, with the rights of the API."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result
from world import World

from models import dead_letters, outbox
from models.lifecycle import Status
from ops import cli
from ops import dead_letters as ops_dead_letters
from ops.local import data_directory, secrets_file
from runtime import database

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
Bury = Callable[..., int]


@pytest.fixture
def bury(world: World) -> Bury:
    """Makes a dead letter of a tick of this kind, or of what is due; returns its id."""

    def buried(kind: str | None = None) -> int:
        with database.transaction() as connection:
            if kind is not None:
                outbox.put(connection, kind)
            rows = [row.id for row in outbox.due(connection, None, [], 10)]
            dead_letters.bury(connection, rows, "ValueError: no [bold]way[/bold]", "Traceback …", world.policy)
        return int(world.sql("SELECT id FROM dead_letters ORDER BY last_at DESC LIMIT 1")[0][0])

    return buried


@pytest.fixture
def failed(world: World, bury: Bury) -> int:
    """The letter of an order that failed."""
    world.place(world.user(), {world.product("CUP", on_hand=10).sku: 2})
    return bury()


def orders(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["dead-letters", *map(str, arguments)], env={"COLUMNS": "200"})


def listed(*arguments: object) -> list[int]:
    done = orders("ls", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [letter["id"] for letter in json.loads(done.stdout)]


def how(world: World, letter: int) -> str | None:
    found: str | None = world.sql("SELECT resolved_how FROM dead_letters WHERE id = :id", id=letter)[0][0]
    return found


def test_the_list_is_a_table_for_people_and_json_for_programs(bury: Bury, failed: int) -> None:
    tick = bury("rollups.fold")
    shown = orders("ls").stdout
    assert re.search(rf"{tick} +rollups\.fold +– ", shown) and re.search(rf"{failed} +orders\.confirm +\S+-\S+ ", shown)
    assert "ValueError: no [bold]way[/bold]" in shown
    [newest, oldest] = json.loads(orders("ls", "--json").stdout)
    assert (newest["id"], oldest["id"], oldest["kind"]) == (tick, failed, "orders.confirm")


def test_an_empty_list_says_so(world: World) -> None:
    assert orders("ls").stdout == "no dead letter matches\n"
    assert orders("ls", "--json").stdout == "[]\n"
    assert orders("replay", "--all-matching").exit_code == 0


def test_filters_narrow_the_list(world: World, bury: Bury, failed: int) -> None:
    tick, other = bury("rollups.fold"), bury("other")
    order = world.orders()[0].id
    assert orders("discard", other, "--reason", "no").exit_code == 0
    assert listed() == [tick, failed]
    assert listed("--all") == [other, tick, failed]
    assert listed("--kind", "rollups.fold") == [tick]
    assert listed("--order", order) == [failed]
    assert listed("--since", "2100-01-01") == []
    assert listed("--since", "2000-01-01T10:30:00") == listed("--since", "2000-01-01T10:30:00+0200") == [tick, failed]
    assert listed("--limit", 1) == [tick]


def test_one_letter_is_shown_with_its_traceback(failed: int) -> None:
    shown = orders("show", failed).stdout
    assert "Traceback …" in shown and "ValueError: no [bold]way[/bold]" in shown and "orders.confirm" in shown
    assert json.loads(orders("show", failed, "--json").stdout)["traceback"] == "Traceback …"


def test_a_replay_is_done_once_and_says_what_it_came_to(world: World, failed: int) -> None:
    for _ in range(2):
        done = orders("replay", failed, "--reason", "mended")
        assert (done.exit_code, done.stdout) == (0, f"{failed}: retried: its failed order is asked back to pending\n")
    assert [row.kind for row in world.due()] == ["orders.transition"]
    world.work_until_idle()
    [order] = world.orders()
    assert order.status is Status.DELIVERED
    assert (world.events(order.id)[2].reason, world.events(order.id)[2].actor) == ("mended", "staff")
    assert world.stock("CUP") == (8, 0)
    assert world.sql("SELECT resolved_by FROM dead_letters")[0][0].startswith("cli:")


def test_a_dry_run_says_it_and_does_nothing(world: World, failed: int) -> None:
    assert orders("replay", failed, "--dry-run").stdout.startswith(f"{failed}: would be retried: ")
    assert orders("discard", failed, "--reason", "x", "--dry-run").stdout.startswith(f"{failed}: would be discarded: ")
    assert (how(world, failed), world.due()) == (None, [])
    orders("discard", failed, "--reason", "x")
    assert orders("replay", failed, "--dry-run").exit_code == 1


def test_all_that_match_are_replayed_and_one_that_is_refused_stops_no_other(world: World, bury: Bury) -> None:
    ticks = [bury(f"kind-{number}") for number in range(3)]
    with database.transaction() as connection:
        dead_letters.note_message(connection, "nobody-can", "no task has this name")
    done = orders("replay", "--all-matching", "--json")
    assert done.exit_code == 1, "one was refused"
    *replayed, refused = json.loads(done.stdout)
    assert [(each["id"], each["how"]) for each in replayed] == [(tick, "replayed") for tick in ticks]
    assert refused["how"] is None and "only be discarded" in refused["refusal"]
    assert len(world.due()) == 3
    assert len(listed()) == 1


def test_only_what_the_filters_leave_is_discarded(world: World, bury: Bury) -> None:
    first, second = bury("a"), bury("b")
    assert orders("discard", "--all-matching", "--kind", "b", "--reason", "no longer there").exit_code == 0
    assert (how(world, first), how(world, second)) == (None, "discarded")


def test_more_letters_than_a_page_are_all_found(world: World) -> None:
    world.sql(
        "INSERT INTO dead_letters (kind, error, attempts, first_at, last_at)"
        " SELECT 'k', 'e', 1, now(), now() FROM generate_series(1, 1203)"
    )
    assert len(listed("--limit", 5000)) == 1203
    done = orders("discard", "--all-matching", "--reason", "too many", "--json")
    assert len(json.loads(done.stdout)) == 1203
    assert listed() == []


def test_many_letters_have_a_progress_bar_on_a_terminal_and_one_has_none(bury: Bury) -> None:
    for ids, is_shown in (([bury("a")], False), ([bury("b"), bury("c")], True)):
        terminal = Console(file=io.StringIO(), force_terminal=True)
        with ops_dead_letters.reached(data_directory.DEFAULT) as system:
            act = ops_dead_letters.replaying(system.policy, None, dry_run=False)
            ops_dead_letters.resolve(system, ids, act, terminal)
        assert ("100%" in terminal.file.getvalue()) is is_shown  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["show", "99999999"], 1, "There is no dead letter 99999999."),
        (["replay", "99999999"], 1, "There is no dead letter 99999999."),
        (["replay"], 1, "name the letters by their ids, or choose them with --all-matching"),
        (["replay", "1", "--all-matching"], 1, "name the letters by their ids, or choose them with --all-matching"),
        (["replay", "1", "--kind", "x"], 1, "filters go with --all-matching"),
        (["discard", "1", "--reason", " "], 1, "a reason is needed"),
        (["discard", "1"], 2, "--reason"),
        (["show", "seven"], 2, "valid integer"),
        (["show", "0"], 2, "greater than or equal to 1"),
        (["ls", "--order", "7"], 2, "UUID"),
        (["ls", "--since", "yesterday"], 2, "yesterday"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(world: World, arguments: list[str], code: int, complaint: str) -> None:
    done = run(["dead-letters", *arguments])
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert "Traceback (most recent" not in done.stderr


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops", *arguments]
    return subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_a_database_there_is_one_paragraph() -> None:
    done = run(["dead-letters", "ls"], DATABASE_URL="postgresql://localhost:1/orders")
    assert done.returncode == 1
    assert done.stderr.startswith("orders: the database cannot be reached")


def test_without_a_system_it_says_what_to_do(tmp_path: Path) -> None:
    for arguments in (["ls"], ["show", "7"], ["replay", "7"], ["discard", "7", "--reason", "x"]):
        command = [sys.executable, "-m", "ops", "dead-letters", *arguments, "--data", str(tmp_path)]
        bare = {"PATH": os.environ["PATH"]}
        done = subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("orders: DATABASE_URL is not set, and nothing runs here"), arguments


def test_it_finds_what_orders_up_runs_in_the_data_directory(world: World, failed: int, tmp_path: Path) -> None:
    """Noted there as `orders up` notes it, which holds the directory for as long as it runs."""
    command = [sys.executable, "-m", "ops", "dead-letters", "replay", str(failed), "--data", str(tmp_path)]
    bare = {"PATH": os.environ["PATH"]}
    with data_directory.held(tmp_path):
        secrets_file.load(tmp_path / "secrets.json")
        own = {"database": os.environ["DATABASE_URL"], "broker": os.environ["BROKER_URL"]}
        data_directory.remember(tmp_path, own)
        done = subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, how(world, failed)) == (0, "retried"), done.stderr


def documented() -> list[str]:
    section = OPERATIONS.read_text().partition("### Dead letters")[2].partition("\n### ")[0]
    lines = [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", section) for line in block.splitlines()]
    return [line.removeprefix("docker compose exec api orders ") for line in lines]


def test_the_commands_in_operations_md_do_what_they_are_there_for(world: World, bury: Bury) -> None:
    """As they stand there, one after the other; the letters 7 and 8 of the page are made beforehand."""
    world.product("CUP")
    world.sql("ALTER TABLE dead_letters ALTER COLUMN id SET GENERATED BY DEFAULT")
    for number in (7, 8):
        world.place(world.user(), {"CUP": 1})
        world.sql("UPDATE dead_letters SET id = :number WHERE id = :letter", number=number, letter=bury())
    bury("rollups.fold")
    assert documented(), "operations.md names the commands"
    done: list[Any] = []
    try:
        for command in documented():
            done.append(CliRunner().invoke(cli.app, shlex.split(command)))
            assert done[-1].exit_code == 0, (command, done[-1].output, done[-1].exception)
    finally:
        world.sql("ALTER TABLE dead_letters ALTER COLUMN id SET GENERATED ALWAYS")
    assert (how(world, 7), how(world, 8)) == ("retried", "discarded")
    assert listed() == []
