"""`orders up` as a newcomer runs it: one command, real processes, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from running_system import RunningSystem, bare_environment, eventually, running

from ops.local.client import Client
from ops.processes import ports
from runtime import shutdown

# They start the whole system: one after the other, in one process of the test run.
pytestmark = pytest.mark.timeout(300)

ROLES = {"admin", "staff", "analyst", "customer"}


def command(data: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "ops", "up", "--data", str(data), *options]


def run(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, *options), env=bare_environment(), capture_output=True, text=True, check=False, timeout=120
    )


def processes_of(data: Path) -> list[str]:
    """Every process whose command line or environment names the data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(data) in word for word in known):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Crowded:
    """A system whose wanted port was taken when it started."""

    system: RunningSystem
    taken_port: int


@pytest.fixture(scope="module")
def crowded() -> Iterator[Crowded]:
    with (
        tempfile.TemporaryDirectory(prefix="orders-up-") as directory,
        socket.create_server((ports.LOOPBACK, ports.free())) as other,
    ):
        taken = other.getsockname()[1]
        with running(Path(directory), "--port", str(taken), "--api-workers", "2") as started:
            yield Crowded(started, taken)


@pytest.fixture
def system(crowded: Crowded) -> RunningSystem:
    return crowded.system


def test_once_shows_a_delivered_order_and_leaves_no_process(tmp_path: Path) -> None:
    done = run(tmp_path, "--once", "--port", str(ports.free()))

    assert done.returncode == 0, done.stderr
    for word in ("confirmed", "processing", "shipped", "delivered", "counted in the orders per day"):
        assert word in done.stdout
    assert processes_of(tmp_path) == []


def test_the_json_line_says_where_everything_is(system: RunningSystem) -> None:
    summary = system.summary

    assert set(summary) == {"api", "flower", "data", "database", "broker", "pids", "users"}
    assert set(summary["users"]) == ROLES
    assert all(set(user) == {"email", "password"} for user in summary["users"].values())
    assert summary["data"] == str(system.data)
    assert summary["database"].startswith("postgresql://")
    assert summary["broker"].startswith("redis://orders:")


def test_the_json_line_names_living_processes(system: RunningSystem) -> None:
    pids = system.summary["pids"]

    assert {role: len(pids[role]) for role in ("api", "worker", "relay", "beat", "flower")} == {
        "api": 2,
        "worker": 1,
        "relay": 1,
        "beat": 1,
        "flower": 1,
    }
    assert isinstance(pids["postgres"], int)
    assert isinstance(pids["valkey"], int)


def test_a_taken_port_is_passed_over_and_said(crowded: Crowded) -> None:
    system = crowded.system
    assert system.api != f"http://127.0.0.1:{crowded.taken_port}"
    assert f"port {crowded.taken_port} is taken; the API uses" in system.stderr.read_text()
    assert Client(system.summary["api"]).get("/health/readiness").status == 200


def test_flower_asks_who_is_there(system: RunningSystem) -> None:
    assert Client(system.summary["flower"]).get("/workers").status == 401


def test_passwords_are_in_no_command_line(system: RunningSystem) -> None:
    secrets = json.loads((system.data / "secrets.json").read_text())
    words = [secrets["secret_key"], secrets["flower_password"], *secrets["passwords"].values()]
    words += secrets["broker_passwords"].values()
    lines = " ".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))

    assert not [word for word in words if word in lines]


def test_files_with_secrets_are_readable_by_the_owner_alone(system: RunningSystem) -> None:
    for name in ("secrets.json", "up.json"):
        assert (system.data / name).stat().st_mode & 0o077 == 0


def test_a_second_up_in_the_same_directory_is_refused_with_the_process_that_has_it(system: RunningSystem) -> None:
    second = run(system.data, "--once")

    assert second.returncode == 1
    assert f"already runs in {system.data} (process {system.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_doctor_finds_the_running_system_and_nothing_wrong(system: RunningSystem) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "doctor", "--data", str(system.data), "--json"],
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    checks = {check["name"]: check["outcome"] for check in json.loads(done.stdout)}

    assert done.returncode == 0, done.stdout
    assert {checks[name] for name in ("settings", "database", "migrations", "broker", "orders up")} == {"good"}


@pytest.mark.parametrize("role", ["api", "worker", "relay", "beat"])
def test_a_killed_process_comes_back(system: RunningSystem, role: str) -> None:
    log = system.data / "log" / "orders.log"
    pid = system.summary["pids"][role][0]

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: f"(process {pid}) died: signal 9; restarting" in log.read_text(), f"{role} noticed")
    if role != "api":
        heartbeat, killed_at = system.data / "heartbeat" / role, time.time()
        eventually(lambda: heartbeat.stat().st_mtime > killed_at, f"{role} works again")
    eventually(lambda: Client(system.summary["api"]).get("/health/readiness").status == 200, "the API is ready")


def test_a_failure_is_one_paragraph_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letter.txt").write_text("dear")

    done = run(tmp_path, "--once", "--port", str(ports.free()))

    assert done.returncode == 1
    assert "not empty and is not a PostgreSQL data directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_request_to_stop_during_the_start_is_obeyed(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, "--port", str(ports.free())), env=bare_environment(), stdout=subprocess.DEVNULL
    ) as process:
        eventually((tmp_path / "postgres" / "postmaster.pid").exists, "PostgreSQL begins")
        process.send_signal(signal.SIGINT)

    assert process.returncode == 128 + signal.SIGINT
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_killed_up_takes_everything_with_it_and_the_next_one_starts(tmp_path: Path) -> None:
    port = str(ports.free())
    with subprocess.Popen(
        command(tmp_path, "--json", "--no-demo", "--port", port),
        env=bare_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.kill()

    eventually(lambda: processes_of(tmp_path) == [], "nothing is left")
    assert run(tmp_path, "--once", "--no-demo", "--port", port).returncode == 0


def test_the_system_stops_when_asked_and_leaves_nothing(system: RunningSystem) -> None:
    """The last test of the system that the module shares."""
    system.process.terminate()

    assert system.process.wait(shutdown.API_SECONDS + shutdown.OTHERS_SECONDS) == 0
    assert processes_of(system.data) == []
    log = (system.data / "log" / "orders.log").read_text()
    assert "was killed" not in log, "each ended by itself"
    assert "database system is shut down" in log, "PostgreSQL too, and in good order"
