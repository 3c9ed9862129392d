"""How long to wait before the next attempt: twice as long each time, within bounds, until one succeeds."""


class BackOff:
    """Durations in seconds."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._next = shortest

    def after_failure(self) -> float:
        """How long to wait now."""
        wait = self._next
        self._next = min(wait * 2, self._longest)
        return wait

    def after_success(self) -> None:
        self._next = self._shortest
