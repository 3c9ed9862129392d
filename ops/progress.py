"""What a person sees while something takes a few seconds: one line per step, with its duration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Progress:
    """Steps on a console; a spinner shows only on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started_at

    def say(self, line: str = "") -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and, when it is done, say how long it took. A failure leaves no line; its message follows."""
        started_at = time.monotonic()
        with self._console.status(f"{escape(name)} …"):
            yield
        seconds = time.monotonic() - started_at
        self._console.print(f"[green]✓[/] {escape(name):<34} [dim]{seconds:5.1f} s[/]", highlight=False)
