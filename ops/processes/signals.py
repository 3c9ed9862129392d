"""How a command that keeps children running obeys signals.

The first SIGINT, SIGTERM or SIGHUP raises `Stopped` in the main thread wherever it is; from then on, and while the
command is cleaning up for any other reason, only a further Ctrl-C counts, and it means "at once".
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

OBEYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """We were asked to stop. Like KeyboardInterrupt it is no Exception, so that nothing swallows it on the way."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextmanager
def obeyed(at_once: Callable[[], None]) -> Iterator[None]:
    """Use as the *inner* context of what does the cleaning up.

    The handlers stay installed behind it, because the cleaning up happens after this block has been left.
    """
    leaving = False

    def obey(signum: int, _: FrameType | None) -> None:
        nonlocal leaving
        if leaving:
            if signum == signal.SIGINT:
                at_once()
            return
        leaving = True
        raise Stopped(signum)

    for signum in OBEYED:
        signal.signal(signum, obey)
    try:
        yield
    finally:
        leaving = True
