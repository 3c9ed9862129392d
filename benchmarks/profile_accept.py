"""`orders bench profile`: where the microseconds of one accepted order go, inside the API process.

One API process samples its own stacks under the full load (see `sampler`). Each sample belongs to the layer that the
innermost of its frames with a layer belongs to, and to the function it was in.
"""

import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import callers, load, meters, stand
from benchmarks.accept import WARM_UP_SECONDS, Options
from benchmarks.contenders import SKUS
from benchmarks.load import Plan, Result
from benchmarks.sampler import FRAMES, PARTS
from benchmarks.stand import Listeners, Stand
from ops.processes import ports
from ops.processes.children import Process
from ops.progress import Progress
from runtime import settings

FUNCTIONS_SHOWN = 15
CALLERS_SHOWN = 30
WAY_DOWN = 0.7
PATH_PARTS_SHOWN = 3
EVENT_LOOP = "event loop"

# The first layer one of whose paths is part of a frame's file name has the frame. Files that are in none (json,
# contextlib, pydantic) belong to whoever called them.
LAYERS: Sequence[tuple[str, Sequence[str]]] = (
    ("access line", ("/structlog/", "/logging/", "/runtime/logs.py")),
    ("uvicorn", ("/uvicorn/", "/api/edge/http_protocol.py")),
    ("strict JSON", ("/api/edge/json_bodies.py",)),
    ("edge", ("/api/edge/", "/api/context.py")),
    ("authentication", ("/api/identity/",)),
    ("validation and fingerprint", ("/api/forms.py",)),
    ("rendering the answer", ("/api/views/",)),
    ("group commit", ("/api/group_commit.py",)),
    ("counting", ("/api/metrics/",)),
    ("route", ("/api/",)),
    ("acceptance verb", ("/models/", "/runtime/")),
    ("SQLAlchemy", ("/sqlalchemy/",)),
    ("psycopg", ("/psycopg/", "/psycopg_pool/")),
    ("FastAPI", ("/fastapi/",)),
    ("Starlette", ("/starlette/",)),
    (EVENT_LOOP, ("/asyncio/", "/uvloop/", "/ops/")),
)


@dataclass(frozen=True)
class Profile:
    """CPU microseconds per order of the API process, all and by place, from so many samples."""

    total_us: float
    samples: int
    by_layer: Mapping[str, float]
    by_function: Mapping[str, float]
    with_callees: Mapping[str, float]


def run(options: Options, progress: Progress, console: Console) -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-bench-")))
        with progress.step(f"engines, tables, {options.users:,} users"):
            stood = stack.enter_context(stand.standing(directory, options.users))
        written = directory / "stacks.json"
        with _sampled_api(stood, written) as listeners:
            result, cpu_seconds = _play(options, stood, listeners, progress)
        profile = _profile(json.loads(written.read_text()), 1e6 * cpu_seconds / result.accepted)
    _show(profile, result, console)


@contextmanager
def _sampled_api(stood: Stand, written: Path) -> Iterator[Listeners]:
    port = ports.free()
    argv = [sys.executable, "-m", "benchmarks.sampler", str(port), str(written)]
    process = Process("api-sampled", argv, stood.environment)
    with ports.reserve(port), stand.listening(port, [process], stood.directory) as listeners:
        yield listeners


def _play(options: Options, stood: Stand, listeners: Listeners, progress: Progress) -> tuple[Result, float]:
    numbers = callers.some(options.tokens, stood.users)
    tokens = callers.sign_tokens(settings.read(stood.environment), numbers)
    with progress.step("showing tokens, warm-up"):
        callers.show(tokens, listeners.port, listeners.pids)
        load.run(_plan(listeners, tokens, options, WARM_UP_SECONDS)).expect_only_accepted()
    with progress.step("sampling"):
        os.kill(listeners.pids[0], signal.SIGUSR1)
        before = meters.cpu_seconds(listeners.pids)
        result = load.run(_plan(listeners, tokens, options, options.seconds))
        cpu_seconds = meters.cpu_seconds(listeners.pids) - before
    result.expect_only_accepted()
    return result, cpu_seconds


def _plan(listeners: Listeners, tokens: Sequence[str], options: Options, seconds: float) -> Plan:
    return Plan(listeners.port, "/v1/orders", tokens, SKUS, options.connections, seconds)


def _profile(stacks: Mapping[str, int], total_us: float) -> Profile:
    layers, functions, with_callees = Counter[str](), Counter[str](), Counter[str]()
    for stack, number in stacks.items():
        frames = stack.split(FRAMES)
        layers[_layer(frames)] += number
        functions[_shown(frames[0])] += number
        with_callees.update(dict.fromkeys(map(_shown, frames), number))
    samples = layers.total()

    def per_order(counted: Counter[str]) -> dict[str, float]:
        return {name: total_us * number / samples for name, number in counted.most_common()}

    return Profile(total_us, samples, per_order(layers), per_order(functions), per_order(with_callees))


def _layer(frames: Sequence[str]) -> str:
    for frame in frames:
        path = frame.partition(PARTS)[0]
        for name, places in LAYERS:
            if any(place in path for place in places):
                return name
    return EVENT_LOOP


def _shown(frame: str) -> str:
    path, _, function = frame.partition(PARTS)
    return f"{'/'.join(Path(path).parts[-PATH_PARTS_SHOWN:])} {function}".removeprefix("site-packages/")


def _show(profile: Profile, result: Result, console: Console) -> None:
    console.print(
        f"{result.accepted} orders in {result.seconds:.1f} s through one process, {profile.total_us:.0f} CPU µs each; "
        f"{profile.samples} samples; p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms"
    )
    _table("Layers", profile.by_layer, profile.total_us, console)
    own = dict(list(profile.by_function.items())[:FUNCTIONS_SHOWN])
    _table(f"Functions by own time, the first {FUNCTIONS_SHOWN}", own, profile.total_us, console)
    # What holds nearly all of the time is the way down to the request, and says nothing.
    inner = [(name, us) for name, us in profile.with_callees.items() if us < WAY_DOWN * profile.total_us]
    _table(f"With what they call, the first {CALLERS_SHOWN}", dict(inner[:CALLERS_SHOWN]), profile.total_us, console)


def _table(title: str, rows: Mapping[str, float], total_us: float, console: Console) -> None:
    table = Table(title=title)
    table.add_column("where")
    table.add_column("CPU µs per order", justify="right")
    table.add_column("share", justify="right")
    for name, microseconds in rows.items():
        table.add_row(name, f"{microseconds:.1f}", f"{microseconds / total_us:.1%}")
    console.print(table)
