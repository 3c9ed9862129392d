"""The first yardstick: what PostgreSQL itself does with these rows, one statement an order, without an application."""

import re
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from benchmarks import load
from benchmarks.contenders import ORDER_TABLES, Played
from benchmarks.load import LoadFailed
from benchmarks.stand import DATABASE, Stand
from ops.local import postgres_directory
from runtime.database import Role

PGBENCH = "pgbench"


@dataclass(frozen=True)
class Pgbench:
    """The same rows as one statement, prepared, in autocommit, on the same tables."""

    stand: Stand
    connections: int
    body_bytes: int
    name: str = PGBENCH
    database: str = DATABASE
    role: str = PGBENCH
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def clear(self) -> None:
        with self.stand.superuser() as connection:
            connection.execute(f"TRUNCATE {ORDER_TABLES}".encode())

    def play(self, seconds: float) -> Played:
        log = self.stand.directory / f"pgbench-{time.monotonic_ns()}"
        cpu_before = _reaped_cpu_seconds()
        done = subprocess.run(self._command(seconds, log), capture_output=True, text=True, check=False)
        cpu_seconds = _reaped_cpu_seconds() - cpu_before
        orders = re.search(r"actually processed: (\d+)", done.stdout)
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        if done.returncode != 0 or not orders or not rate or "failed transactions: 0 " not in done.stdout:
            raise LoadFailed(f"pgbench: {done.stdout.strip()} {done.stderr.strip()}")
        latencies = sorted(_logged_seconds(log))
        p50_ms, p99_ms = (load.percentile_ms(latencies, share) for share in (0.5, 0.99))
        return Played(int(orders[1]), int(orders[1]) / float(rate[1]), p50_ms, p99_ms, cpu_seconds)

    def _command(self, seconds: float, log: Path) -> list[str]:
        options = {
            "protocol": "prepared",
            "client": str(self.connections),
            "jobs": "2",
            "time": str(max(round(seconds), 1)),
            "file": str(resources.files("benchmarks") / "order.sql"),
            "host": str(self.stand.postgres.socket_directory),
            "username": self.role,
            "log-prefix": str(log),
        }
        values = {"users": self.stand.users, "body_bytes": self.body_bytes}
        return [
            str(postgres_directory.binaries() / "pgbench"),
            "--no-vacuum",
            "--log",
            *(f"--{name}={value}" for name, value in options.items()),
            *(f"--define={name}={value}" for name, value in values.items()),
            self.database,
        ]


def pgbench(stood: Stand, connections: int, body_bytes: int) -> Pgbench:
    with stood.superuser() as connection:
        connection.execute(f"CREATE ROLE {PGBENCH} LOGIN IN ROLE {Role.OWNER}".encode())
    return Pgbench(stood, connections, body_bytes)


def _reaped_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _logged_seconds(prefix: Path) -> list[float]:
    """The third column of pgbench's log is what a transaction took, in microseconds."""
    logs = list(prefix.parent.glob(f"{prefix.name}.*"))
    taken = [int(line.split(b" ", 3)[2]) / 1e6 for log in logs for line in log.read_bytes().splitlines()]
    for log in logs:
        log.unlink()
    return taken
