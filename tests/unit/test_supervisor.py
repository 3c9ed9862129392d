"""The supervisor with real children: order, restart, giving up, stopping whole groups, and dying with us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from running_system import eventually

from ops.failures import StartError
from ops.processes.children import Process
from ops.processes.log_stream import LogStream
from ops.processes.supervisor import Supervisor


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogStream]:
    with LogStream(tmp_path / "orders.log") as stream:
        yield stream


@pytest.fixture
def supervisor(log: LogStream) -> Iterator[Supervisor]:
    with Supervisor(log) as supervisor:
        yield supervisor


def child(name: str, code: str, *arguments: object, ready: Callable[[], bool] = lambda: True) -> Process:
    return Process(name, [sys.executable, "-I", "-u", "-c", code, *map(str, arguments)], ready=ready, ready_timeout=5.0)


SLEEP = "import time; time.sleep(600)"
# When it is asked to stop, it waits until so many have been asked, and notes its own end.
NOTE_STOP = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(f"{sys.argv[1]}-asked-{sys.argv[2]}").touch()
    while len(list(pathlib.Path(sys.argv[1]).parent.glob("*-asked-*"))) < int(sys.argv[3]): time.sleep(0.01)
    with open(sys.argv[1], "a") as file: file.write(sys.argv[2])
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1] + sys.argv[2]).touch()
time.sleep(600)
"""
WITH_A_CHILD = """
import pathlib, signal, subprocess, sys, time
heir = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(heir.pid))
time.sleep(600)
"""
SLOW_TO_END = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).write_text("written")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_start_returns_when_the_process_says_that_it_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = "import pathlib, sys, time; time.sleep(0.3); pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"

    supervisor.start(child("slow", code, flag, ready=flag.exists))

    assert flag.exists()


def test_what_others_need_is_stopped_when_they_are_gone_and_these_are_asked_all_at_once(
    log: LogStream, tmp_path: Path
) -> None:
    stops, asked_before = tmp_path / "stops", {"engine": 1, "a": 3, "b": 3, "c": 3}
    with Supervisor(log) as supervisor:
        for name, others in asked_before.items():
            noting = child(name, NOTE_STOP, stops, name, others, ready=Path(f"{stops}{name}").exists)
            supervisor.start(replace(noting, is_needed=name == "engine"))

    assert sorted(stops.read_text().removesuffix("engine")) == ["a", "b", "c"], "none of them waited for another's end"
    assert stops.read_text().endswith("engine")
    assert "was killed" not in log.path.read_text()


def test_a_killed_process_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start(child("sleeper", SLEEP))
    first = supervisor.pid("sleeper")
    assert first is not None

    os.kill(first, signal.SIGKILL)

    eventually(lambda: supervisor.pid("sleeper") not in {None, first}, "a child that is started again")


def test_what_a_dead_process_leaves_in_its_group_dies_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "heir"
    supervisor.start(child("parent", WITH_A_CHILD, note, ready=note.exists))
    eventually(note.read_text, "its note")
    heir = int(note.read_text())
    pid = supervisor.pid("parent")
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: gone(heir), "the end of its heir")


def test_stopping_takes_the_whole_group(log: LogStream, tmp_path: Path) -> None:
    note = tmp_path / "heir"
    with Supervisor(log) as supervisor:
        supervisor.start(child("parent", WITH_A_CHILD, note, ready=note.exists))
        eventually(note.read_text, "its note")

    eventually(lambda: gone(int(note.read_text())), "the end of its heir")


def test_a_process_that_ignores_the_request_to_stop_is_killed(log: LogStream, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with Supervisor(log) as supervisor:
        supervisor.start(replace(child("stubborn", STUBBORN, flag, ready=flag.exists), stop_seconds=0.3))
        pid = supervisor.pid("stubborn")

    assert pid is not None
    assert gone(pid)
    assert "stubborn did not end when it was asked to, and was killed" in log.path.read_text()


def test_many_that_ignore_the_request_cost_no_more_time_than_one(log: LogStream, tmp_path: Path) -> None:
    with Supervisor(log) as supervisor:
        for name in "abcde":
            stubborn = child(name, STUBBORN, tmp_path / name, ready=(tmp_path / name).exists)
            supervisor.start(replace(stubborn, stop_seconds=1.0))
        asked_at = time.monotonic()

    assert time.monotonic() - asked_at < 4


def test_who_needs_longer_than_others_may_take_it(log: LogStream, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    with Supervisor(log) as supervisor:
        supervisor.start(replace(child("quick", SLEEP), stop_seconds=0.1))
        supervisor.start(replace(child("slow", SLOW_TO_END, slow, ready=slow.exists), stop_seconds=10.0))

    assert slow.read_text() == "written"


def test_a_process_that_never_gets_ready_is_given_up_with_its_last_words(supervisor: Supervisor) -> None:
    with pytest.raises(StartError, match=r"(?s)broken died 5 times.*I cannot live"):
        supervisor.start(child("broken", "print('I cannot live'); raise SystemExit(3)", ready=lambda: False))


def test_a_process_that_stays_silent_is_reported_when_its_time_is_over(supervisor: Supervisor) -> None:
    slow = Process("mute", [sys.executable, "-I", "-c", SLEEP], ready=lambda: False, ready_timeout=0.3)

    with pytest.raises(StartError, match="mute was not ready within 0 s"):
        supervisor.start(slow)


def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(StartError, match="ghost cannot be run"):
        supervisor.start(Process("ghost", ["/nonexistent/program"]))


def test_output_lands_in_the_log_under_the_name_of_its_process(supervisor: Supervisor, log: LogStream) -> None:
    supervisor.start(child("speaker", "print('hello'); import time; time.sleep(600)"))

    eventually(lambda: "speaker    hello\n" in log.path.read_text(), "what it said")


def test_several_processes_may_run_the_same_program(supervisor: Supervisor) -> None:
    for number in range(3):
        supervisor.start(child(f"api-{number}", SLEEP))

    assert len({supervisor.pid(f"api-{number}") for number in range(3)}) == 3


ORPHANS = """
import sys, time
from pathlib import Path
from ops.processes.children import Process
from ops.processes.log_stream import LogStream
from ops.processes.supervisor import Supervisor
supervisor = Supervisor(LogStream(Path(sys.argv[1])))
supervisor.start(Process("sleeper", [sys.executable, "-I", "-c", "import time; time.sleep(600)"]))
print(supervisor.pid("sleeper"), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_children_die_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as supervising:
        assert supervising.stdout is not None
        orphan = int(supervising.stdout.readline())
        supervising.kill()

    eventually(lambda: gone(orphan), "the end of the orphan")


def test_children_live_in_sessions_of_their_own_so_that_ctrl_c_passes_them_by(supervisor: Supervisor) -> None:
    supervisor.start(child("sleeper", SLEEP))
    pid = supervisor.pid("sleeper")

    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
