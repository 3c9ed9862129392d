"""What the pages say is compared with what is there: files, tests, commands, settings, pictures, SQL."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from sqlalchemy import text
from typer.testing import CliRunner

from benchmarks import __main__ as bench
from models import idempotency, retention, tables
from ops import cli, diagrams
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PLACES = ("api", "benchmarks", "docs", "models", "ops", "runtime", "schedules", "tests", "workers")
FILE = re.compile(rf"(?:{'|'.join(PLACES)})/[\w./-]*\w|[\w.-]+\.(?:toml|lock|yml)|Dockerfile|Makefile")

# Blocks of several commands that are run as they stand, by their first line, and the test that runs them.
RUN_ELSEWHERE = {
    "field() { python3 -c": "tests/e2e/test_readme.py",
    "umask 077": "tests/compose_file.py",
    "(umask 077; openssl": "tests/e2e/test_production.py",
    ".venv/bin/": "tests/docs/test_tutorial.py",
}
# Run by no test, because there is no Docker engine where tests run: the services they name are checked here.
COMPOSE = "docker compose "
# Lines that are not commands of ours: reading the file that is made above, and the statements given to psql, which
# tests/deployment/test_logins.py runs.
PLAIN = (". ./.env", "CREATE ROLE ", "GRANT ", "SQL")
# `make up` is tests/e2e/test_up.py; `make test` is what runs this.
MAKE = {"up", "test"}

# A page; the list of deviations is longer than a decision ought to be.
DECISION_LINES_MAX = 80

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert ":" not in target, f"{target}: only links within the project"
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_every_file_and_every_test_it_names_is_there(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        name, _, inside = code.partition("::")
        if FILE.fullmatch(name.rstrip("/")):
            assert (ROOT / name).exists(), code
            assert not inside or defines((ROOT / name).read_text(), inside), code


def defines(module: str, name: str) -> bool:
    """Whether a module says what this is: a function, a class, or a name given to a value."""
    return bool(re.search(rf"(?m)^ *(?:async )?(?:def|class) {name}\b|^{name}(?:: .+)? = ", module))


@each_page
def test_a_decision_is_called_by_its_number(page: Path) -> None:
    numbered = re.findall(r"\[(?:[Dd]ecision\s)?(\d+)\]\([^)]*?(\d{4})-", prose(page))
    assert [said for said, linked in numbered if int(said) != int(linked)] == []


def test_the_walkthrough_answers_thirty_questions_from_the_code() -> None:
    questions = (ROOT / "docs/walkthrough.md").read_text().partition("\n## Questions\n")[2].partition("\n## ")[0]
    answers = re.split(r"(?m)^\*\*(?=\d+\. )", questions)[1:]
    assert len(answers) >= 30
    assert [answer.partition(".")[0] for answer in answers] == [str(number) for number in range(1, len(answers) + 1)]
    assert [
        answer for answer in answers if not LINK.search(answer) and not any(map(FILE.match, CODE.findall(answer)))
    ] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, open_ends = set(), {ROOT / "README.md"}
    while open_ends:
        page = open_ends.pop()
        reached.add(page)
        links = {(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(prose(page))}
        open_ends |= {link for link in links if link in PAGES} - reached
    assert reached == set(PAGES)


@each_page
def test_a_page_names_no_machine_and_no_registry(page: Path) -> None:
    words = page.read_text()
    assert not re.search(r"(?<![\w./])/(?:work|home|root|Users)/", words)
    assert not re.search(r"\b(?:docker\.io|ghcr\.io|quay\.io|pypi\.org)\b", words)


@each_page
def test_a_page_is_not_wider_than_120(page: Path) -> None:
    """Tables and diagrams cannot be wrapped."""
    wide = [line for line in page.read_text().splitlines() if len(line) > 120 and not line.startswith(("|", "    "))]
    assert wide == []


def commands(page: Path) -> Iterator[str]:
    """The commands of a page that no other test runs, continuation lines joined."""
    for block in blocks(page, "sh"):
        if not block.startswith(tuple(RUN_ELSEWHERE)):
            yield from (line for line in block.replace("\\\n", " ").splitlines() if line and not line.startswith("#"))


@each_page
def test_every_command_is_one_that_works(page: Path) -> None:
    for command in commands(page):
        if command.startswith("make "):
            assert command.removeprefix("make ") in MAKE, command
        elif command.startswith(COMPOSE):
            check_compose(shlex.split(command.partition("<<")[0])[2:])
        else:
            assert command.startswith(PLAIN), f"{command}: say in RUN_ELSEWHERE which test runs it"


def check_compose(arguments: list[str]) -> None:
    if arguments[0] == "--profile":
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        assert any(arguments[1] in service.get("profiles", ()) for service in services.values()), arguments
        arguments = arguments[2:]
    assert arguments[0] in {"build", "exec", "run", "up"}, arguments
    if arguments[0] in {"exec", "run"}:
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        name, *command = [argument for argument in arguments[1:] if argument not in {"-T", "--rm"}]
        assert name in services, arguments
        if command[:1] == ["orders"]:
            assert_complete(command[1:])


def test_what_runs_the_other_commands_is_there_and_reads_the_page() -> None:
    for name in RUN_ELSEWHERE.values():
        assert re.search(r"README|OPERATIONS|TUTORIAL", (ROOT / name).read_text())
    assert {"up", "test"} == MAKE <= set(re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text()))


def assert_known(arguments: list[str]) -> None:
    """`orders ARGUMENTS` is a command with such options. `orders bench` would become another program: that is asked."""
    app, given = (bench.app, arguments[1:]) if arguments[:1] == ["bench"] else (cli.app, arguments)
    done = CliRunner().invoke(app, [*given, "--help"])
    assert done.exit_code == 0, f"orders {' '.join(arguments)}: {done.output}"


def assert_complete(arguments: list[str]) -> None:
    """`orders ARGUMENTS` would run: no option is unknown, and none that is needed is missing."""
    command: Any = typer.main.get_command(cli.app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)


def test_an_incomplete_command_would_be_noticed() -> None:
    assert_complete(["user", "create", "--email", "x"])
    for arguments in (["user", "create"], ["user", "create", "x"], ["serve", "--hosts", "x"], ["served"]):
        with pytest.raises(Exception, match=r"email|unexpected|hosts|served"):
            assert_complete(arguments)


@each_page
def test_every_orders_command_exists(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        if re.match(r"orders [a-z]", code) and page.name != "0013-deviations-from-the-design.md":
            assert_known(shlex.split(code)[1:])


@each_page
def test_every_target_of_make_is_there(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert {code.split()[1] for code in CODE.findall(prose(page)) if code.startswith("make ")} <= targets


@each_page
def test_every_module_to_be_run_is_there(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        if code.startswith("python -m "):
            name, *arguments = shlex.split(code)[2:]
            found = importlib.util.find_spec(name)
            assert found and found.origin, code
            parameters = Path(found.origin).read_text()
            for option in (each for each in arguments if each.startswith("--")):
                assert f"    {option.removeprefix('--').replace('-', '_')}: Annotated[" in parameters, code


@each_page
def test_every_statement_runs_on_the_real_schema(page: Path) -> None:
    with database.transaction(Role.OWNER) as connection:
        for block in blocks(page, "sql"):
            plain = re.sub(r"(?m)^(?:BEGIN|COMMIT);\n", "", block)
            plain = plain.replace(":'order_id'", "'00000000-0000-7000-8000-000000000000'").replace(":'letter'", "'1'")
            for statement in filter(str.strip, plain.split(";\n")):
                connection.execute(text(statement.replace(":", r"\:")))
        connection.rollback()


def test_the_table_of_settings_is_complete_and_its_defaults_are_the_real_ones() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    section = operations.partition("## Configure")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([A-Z0-9_]+)` \| (?:`([^`]+)`)? ?\| (.+) \|$", section)
    assert {name.lower() for name, _, _ in rows} == set(Settings.model_fields)
    needed = {
        "DATABASE_URL": "postgresql:///x",
        "BROKER_URL": "redis://localhost",
        "SECRET_KEY": "0123456789abcdef" * 2,
    }
    spelled = settings.read({**needed, **{name: default for name, default, _ in rows if default}})
    assert spelled == settings.read(needed)
    without = {name.lower() for name, default, _ in rows if not default}
    assert without == {
        name for name, field in Settings.model_fields.items() if field.default in (None, ()) or field.is_required()
    }


def test_the_picture_of_an_orders_way_is_that_of_the_lifecycle() -> None:
    assert f"{diagrams.lifecycle()}\n" in blocks(ROOT / "README.md", "mermaid")


def test_the_table_of_the_schema_is_that_of_the_metadata() -> None:
    assert diagrams.schema() in (ROOT / "docs/architecture.md").read_text()
    assert all(f"| `{name}` |" in diagrams.schema() for name in tables.metadata.tables)


def test_the_page_weighs_every_index_of_what_grows_and_names_every_other_table() -> None:
    section = (ROOT / "docs/architecture.md").read_text().partition("**Every index, and what it costs.**")[2]
    section = section.partition("**Fold.**")[0]
    weighed = set(re.findall(r"^\| `(\w+)` \| \d+ \|", section, re.MULTILINE))
    everything = tables.metadata.tables.values()
    growing = [table for table in everything if f"pk_{table.name}" in weighed]
    indexes = {str(index.name) for table in growing for index in table.indexes}
    assert weighed == indexes | {f"pk_{table.name}" for table in growing}
    others = {table.name for table in everything} - {table.name for table in growing}
    prose = section.rpartition(" |\n")[2]
    assert set(re.findall(r"`(\w+)`", prose)) == others


def test_the_table_of_what_runs_when_is_that_of_the_timetable() -> None:
    assert diagrams.timetable() in (ROOT / "docs/operations.md").read_text()


def test_the_table_of_what_is_kept_is_that_of_the_rules() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| .* \| (\d+) days \|$", operations))
    kept = {table: rule.kept or idempotency.KEPT for table, rule in retention.RULES.items()}
    assert {table: timedelta(days=int(days)) for table, days in told.items()} == kept


def test_the_map_has_each_module_and_each_room_of_the_large_packages_once() -> None:
    section = (ROOT / "docs/architecture.md").read_text().partition("### Where to look first")[2].partition("\n## ")[0]
    large = ("api", "models", "workers")
    modules = [path.relative_to(ROOT).as_posix() for name in large for path in (ROOT / name).glob("[!_]*.py")]
    initials = [path for name in (*large, "ops") for path in (ROOT / name).glob("*/__init__.py")]
    rooms = [path.parent.relative_to(ROOT).as_posix() + "/" for path in initials]
    named = [code for code in CODE.findall(section) if code.startswith(large) or code.endswith("/")]
    assert sorted(code for code in named if "/" in code) == sorted(modules + rooms)


def test_the_glossary_has_each_word_once_in_alphabetical_order() -> None:
    words = re.findall(r"(?m)^\| ([^|]+) \|", (ROOT / "docs/glossary.md").read_text())[1:]
    assert words == sorted(set(words), key=str.lower)


def test_security_answers_every_requirement_once() -> None:
    rows = re.findall(r"(?m)^\| (S\d+) \| .+ \| (\w+) \| .+ \|$", (ROOT / "docs/security.md").read_text())
    assert [name for name, _ in rows] == [f"S{number}" for number in range(1, 45)]
    assert {answer for _, answer in rows} <= {"yes", "partly", "no"}


def test_a_decision_is_a_page_with_its_five_parts_and_stands_in_the_list() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    listed = (ROOT / "docs/decisions/README.md").read_text()
    assert len({page.name[:4] for page in pages}) == len(pages)
    for page in pages:
        words = page.read_text()
        assert page.name in listed
        assert len(words.splitlines()) <= DECISION_LINES_MAX, page.name
        for part in ("**Context.**", "**Decision", "**Consequences.**", "**Alternatives.**", "**Revisit when**"):
            assert part in words, f"{page.name}: {part}"
