"""Whether this process has been asked to stop. What would go on for ever, such as an open stream, looks here."""

import threading

_begun = threading.Event()


def begin() -> None:
    _begun.set()


def has_begun() -> bool:
    return _begun.is_set()


def forget() -> None:
    """For a process that outlives what was stopped in it, as a test run does."""
    _begun.clear()
