"""That an alert is expected to be silent can fail: held against answers that grow from scrape to scrape."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count

import pytest
from alerts import Prometheus

GROWING = "orders_acceptor_full_total {}\n"
STANDING = "orders_acceptor_full_total 7\n# {}\n"


@contextmanager
def answering(metrics: str) -> Iterator[str]:
    numbers = count()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(metrics.format(next(numbers)).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_grows_is_not_silent() -> None:
    with answering(GROWING) as url, pytest.raises(AssertionError, match=r"nothing is wrong: .*AcceptorFull"):
        Prometheus(url, within_seconds=0.3).expect_silence("AcceptorFull")


def test_what_grew_before_is_silent() -> None:
    with answering(STANDING) as url:
        Prometheus(url, within_seconds=0.3).expect_silence("AcceptorFull")


def test_what_happens_meanwhile_is_between_two_scrapes() -> None:
    happened: list[str] = []
    with answering(STANDING) as url:
        Prometheus(url).expect_silence("AcceptorFull", meanwhile=lambda: happened.append("an order"))
    assert happened == ["an order"]
