"""The embedded engines for real: start, be killed, come back, and refuse what is not theirs."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from ops.local import engines
from ops.local.engines import EngineError, Postgres, Valkey
from ops.processes import ports

FAST = {"fsync": "off", "shared_buffers": "16MB"}


@pytest.fixture
def postgres(tmp_path: Path) -> Postgres:
    return Postgres(tmp_path / "postgres", settings=FAST)


def query(postgres: Postgres, statement: str) -> object:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def test_a_running_postgres_answers_on_its_socket_and_on_no_port(postgres: Postgres) -> None:
    with engines.running(postgres):
        assert query(postgres, "SHOW listen_addresses") == ""
        assert int(str(query(postgres, "SHOW server_version_num"))) >= 180_000

    assert not postgres.ready()


def test_only_the_owner_can_reach_the_socket(postgres: Postgres) -> None:
    with engines.running(postgres):
        assert stat.S_IMODE(postgres.socket_directory.stat().st_mode) == 0o700


def test_text_is_utf_8_and_sorts_by_code_point(postgres: Postgres) -> None:
    with engines.running(postgres):
        assert query(postgres, "SHOW server_encoding") == "UTF8"
        assert query(postgres, "SELECT datlocale FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"


def test_durability_stays_on_unless_a_test_turns_it_off(tmp_path: Path) -> None:
    argv = " ".join(Postgres(tmp_path / "postgres").argv)

    assert "fsync" not in argv
    assert "synchronous_commit" not in argv


def test_a_database_is_made_once(postgres: Postgres) -> None:
    with engines.running(postgres):
        postgres.ensure_database('odd "name"')
        postgres.ensure_database('odd "name"')

        with psycopg.connect(postgres.url('odd "name"')) as connection:
            assert connection.info.dbname == 'odd "name"'


def test_a_killed_postgres_starts_again_on_the_same_directory(postgres: Postgres) -> None:
    child = engines.start(postgres)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    child.kill()

    with engines.running(postgres):
        assert query(postgres, "SELECT value FROM kept") == 7


def test_a_second_postgres_on_a_busy_directory_is_refused(postgres: Postgres) -> None:
    with engines.running(postgres), pytest.raises(EngineError, match=r"already runs on .*kill -INT \d+"):
        postgres.prepare()


def test_a_recorded_pid_that_now_belongs_to_another_program_does_not_block_the_start(postgres: Postgres) -> None:
    with engines.running(postgres):
        record = (postgres.home / "postmaster.pid").read_text()
    stale = record.replace(record.split("\n")[0], str(os.getpid()), 1)
    (postgres.home / "postmaster.pid").write_text(stale)

    with engines.running(postgres):
        assert query(postgres, "SELECT 1") == 1


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(EngineError, match="not empty and is not a PostgreSQL data directory"):
        Postgres(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_directory_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("15\n")

    with pytest.raises(EngineError, match="made by PostgreSQL 15 and this is PostgreSQL 18"):
        Postgres(tmp_path).prepare()


def test_an_interrupted_initdb_is_made_anew(postgres: Postgres) -> None:
    leftover = postgres.home.with_name("postgres.new")
    leftover.mkdir()
    (leftover / "PG_VERSION").write_text("18\n")

    with engines.running(postgres):
        assert query(postgres, "SELECT 1") == 1
    assert not leftover.exists()


def test_a_long_path_gets_a_short_private_socket_directory(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / ("long" * 30), settings=FAST)

    with engines.running(postgres):
        sockets = postgres.socket_directory
        assert sockets != postgres.home
        assert len(str(sockets)) < 80
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert query(postgres, "SELECT 1") == 1
    sockets.rmdir()


def test_a_socket_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / ("wide" * 30), settings=FAST)
    postgres.socket_directory.mkdir(mode=0o755)
    try:
        with pytest.raises(EngineError, match="somebody else made it"):
            postgres.prepare()
    finally:
        postgres.socket_directory.rmdir()


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"(?s)postgres did not start.*no_such_setting"):
        engines.start(Postgres(tmp_path / "postgres", settings={**FAST, "no_such_setting": "1"}))


HOLD = """
import sys, time
from pathlib import Path
from ops import engines
child = engines.start(engines.Postgres(Path(sys.argv[1]), settings={"fsync": "off"}))
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_postgres_leaves_when_its_parent_is_killed_and_the_next_one_can_start(postgres: Postgres) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(postgres.home)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.send_signal(signal.SIGKILL)

    with engines.running(postgres):
        assert query(postgres, "SELECT 1") == 1


def test_valkey_answers_and_stops(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey", ports.free())

    with engines.running(valkey):
        assert valkey.ready()

    assert not valkey.ready()


def test_valkey_keeps_nothing_on_disk_but_its_users(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey", ports.free())

    with engines.running(valkey):
        time.sleep(0.1)

    [users] = valkey.directory.iterdir()
    assert users.name == "users.acl"
    assert users.stat().st_mode & 0o077 == 0
    assert not [word for word in (valkey.passwords.works, valkey.passwords.supervises) if word in users.read_text()]
