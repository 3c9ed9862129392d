"""A client that comes back when it is told to."""

import time
from collections.abc import Callable

import httpx2

TRIES_MAX = 30


def patiently(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer to a login, asked for as often as the API says `503` and when to come back.

    Hashing takes only the time that nobody else wants (S4), and the tests next to this one want all of it.
    """
    answer = ask()
    for _ in range(TRIES_MAX):
        if answer.status_code != 503:
            break
        time.sleep(int(answer.headers["Retry-After"]))
        answer = ask()
    return answer
