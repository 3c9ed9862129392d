"""PostgreSQL's own log quoted what clients had sent (found on 25 November 2026).

Our errors had forgotten the row that was refused, and the server had written it down meanwhile: two orders with one
`client_reference` at the same moment left `DETAIL: Key (user_id, client_reference)=(…) already exists` in its log,
which `orders up` shows among ours (SECURITY S39). Its log is terse now: what was wrong, and not with which row.
"""

import contextlib
from pathlib import Path

import psycopg
import yaml
from running_system import eventually

from ops.local.engines import Postgres
from ops.processes.children import Child

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-4711"


def test_s39_the_log_of_postgresql_names_the_constraint_and_not_the_row(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "postgres", settings={"fsync": "off", "shared_buffers": "16MB"})
    postgres.prepare()
    log = tmp_path / "log"
    with log.open("wb") as output:
        child = Child(postgres.process, output)
    try:
        eventually(postgres.ready, "PostgreSQL")
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (reference text UNIQUE CHECK (length(reference) < 20))")
            for reference in (CANARY, CANARY, CANARY * 2):
                with contextlib.suppress(psycopg.IntegrityError):
                    connection.execute("INSERT INTO kept VALUES (%s)", [reference])
    finally:
        child.stop()
    said = log.read_text()
    assert "kept_reference_key" in said and "kept_reference_check" in said
    assert CANARY not in said


def test_s39_in_a_container_it_is_as_terse() -> None:
    command = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["postgres"]["command"]
    assert "log_error_verbosity=terse" in command
