"""A clock that stands still between the moments a test is about."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
