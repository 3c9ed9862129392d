"""`orders up`: the whole system on this machine, from nothing to a delivered order.

Everything is started in the order in which it is needed. Whatever ends it, the processes are stopped together, and the
engines, which they need to the last, when they are gone.
"""

import contextlib
import json
import shutil
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from models.identity.permissions import Role
from ops import migrate, seed
from ops.local import data_directory, journey, profile
from ops.local.journey import Login
from ops.local.profile import Numbers, Profile
from ops.processes import ports, signals
from ops.processes.children import Process
from ops.processes.log_stream import LogStream
from ops.processes.supervisor import Supervisor
from ops.progress import Progress
from runtime import settings

CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """The command line of `orders up`."""

    data: Path
    port: int
    numbers: Numbers = field(default_factory=Numbers)
    once: bool = False
    demo: bool = True
    as_json: bool = False
    logs: bool = False


def run(options: Options) -> int:
    """Run until we are asked to stop (or, with `once`, until all is shown); returns the exit code.

    Raises:
        LocalError: something did not start; what did has been stopped again.
    """
    progress = Progress(Console(stderr=options.as_json))
    data = options.data.expanduser().resolve()
    terminal = sys.stderr if options.logs else None
    try:
        with (
            data_directory.held(data),
            LogStream(data / "log" / "orders.log", terminal) as log,
            Supervisor(log) as supervisor,
            signals.obeyed(supervisor.kill),
            _api_port(options.port, progress) as reserved,
        ):
            settled = profile.profile(data, reserved.getsockname()[1], options.numbers)
            _begin(options, settled, supervisor, progress)
            if not options.once:
                _stay(supervisor)
            progress.say("stopping")
    except signals.Stopped as stopped:
        return 128 + stopped.signum
    return 0


def _api_port(wanted: int, progress: Progress) -> socket.socket:
    """Held as long as we run, so that an API process that is restarted finds its port still ours."""
    port = ports.next_free(wanted)
    if port != wanted:
        progress.say(f"port {wanted} is taken; the API uses {port}")
    return ports.reserve(port)


def _begin(options: Options, settled: Profile, supervisor: Supervisor, progress: Progress) -> None:
    shutil.rmtree(settled.metrics, ignore_errors=True)
    _start_engines(settled, supervisor, progress)
    _prepare_database(settled, progress)
    running = profile.processes(settled)
    _start_processes(running, supervisor, progress)
    if options.demo:
        with progress.step("demo order"):
            _show_demo_order(settled, progress)
    summary = {**settled.summary(), "pids": _pids(settled, running, supervisor)}
    data_directory.remember(settled.data, summary)
    progress.say(f"ready after {progress.seconds:.1f} s")
    _announce(options, settled, summary, progress)


def _start_engines(settled: Profile, supervisor: Supervisor, progress: Progress) -> None:
    if settled.postgres:
        with progress.step("PostgreSQL"):
            settled.postgres.prepare()
            supervisor.start(settled.postgres.process)
            settled.postgres.ensure_database(profile.DATABASE)
    else:
        progress.say("using the database of DATABASE_URL")
    if settled.valkey:
        with progress.step("Valkey"):
            settled.valkey.prepare()
            supervisor.start(settled.valkey.process)
    else:
        progress.say("using the broker of BROKER_URL")


def _prepare_database(settled: Profile, progress: Progress) -> None:
    configuration = settings.read(settled.environment)
    with progress.step("tables"):
        migrate.run(configuration, lambda _: None)
    users = [
        seed.DemoUser(user["email"], user["password"], role.capitalize(), Role(role))
        for role, user in settled.users.items()
    ]
    with progress.step("catalogue and demo users"):
        seed.run(configuration, users)


def _start_processes(running: dict[str, list[Process]], supervisor: Supervisor, progress: Progress) -> None:
    """Started together, because most of the time goes into importing; awaited in order."""
    for processes in running.values():
        for process in processes:
            supervisor.spawn(process)
    for role, processes in running.items():
        with progress.step(role if len(processes) == 1 else f"{role} × {len(processes)}"):
            for process in processes:
                supervisor.await_ready(process.name)


def _pids(settled: Profile, running: dict[str, list[Process]], supervisor: Supervisor) -> dict[str, Any]:
    pids: dict[str, Any] = {role: [supervisor.pid(one.name) for one in several] for role, several in running.items()}
    pids["postgres"] = supervisor.pid("postgres") if settled.postgres else None
    pids["valkey"] = supervisor.pid("valkey") if settled.valkey else None
    return pids


def _show_demo_order(settled: Profile, progress: Progress) -> None:
    logins = {role: Login(**user) for role, user in settled.users.items()}
    journey.run(settled.api_url, logins["customer"], logins["staff"], lambda line: progress.say(f"  {line}"))


def _announce(options: Options, settled: Profile, summary: dict[str, Any], progress: Progress) -> None:
    progress.say()
    progress.say(f"  API         {settled.api_url}/docs")
    progress.say(f"  Flower      {settled.flower_url}  ({profile.FLOWER_USER} / {settled.secrets.flower_password})")
    progress.say(f"  PostgreSQL  {summary['database']}")
    progress.say(f"  broker      {summary['broker']}")
    progress.say(f"  log         {settled.data / 'log' / 'orders.log'}")
    for role, user in settled.users.items():
        progress.say(f"  {role:<11} {user['email']} / {user['password']}")
    progress.say()
    if not options.once:
        progress.say("Ctrl-C stops everything and keeps the data.")
    if options.as_json:
        typer.echo(json.dumps(summary))


def _stay(supervisor: Supervisor) -> None:
    """Until we are asked to stop, which is how this is meant to end, or a process is given up."""
    with contextlib.suppress(signals.Stopped):
        while True:
            supervisor.check()
            time.sleep(CHECK_SECONDS)
