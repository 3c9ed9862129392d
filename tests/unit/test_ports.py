"""Ports: what counts as taken, who may share, what is said."""

import socket
from collections.abc import Iterator

import pytest

from ops.processes import ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens who does not share."""
    with socket.create_server((ports.LOOPBACK, ports.free())) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    assert ports.free() in ports.QUIET_PORTS


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_the_next_free_port_follows_a_taken_one(taken: int) -> None:
    assert taken < ports.next_free(taken) < taken + ports.ATTEMPTS


def test_a_free_wanted_port_is_kept() -> None:
    wanted = ports.free()

    assert ports.next_free(wanted) == wanted


def test_reserving_a_taken_port_says_which_and_what_to_do(taken: int) -> None:
    with pytest.raises(ports.PortTaken, match=rf"port {taken} .* is taken.*--port"):
        ports.reserve(taken)


def test_a_reserved_port_is_taken_for_others_and_shared_with_ours() -> None:
    with ports.reserve(ports.free()) as reserved:
        port = reserved.getsockname()[1]

        assert not ports.is_free(port)
        with ports.share(port) as sharing:
            sharing.listen()
            socket.create_connection((ports.LOOPBACK, port)).close()


def test_a_reservation_that_does_not_listen_takes_no_connections() -> None:
    with ports.reserve(ports.free()) as reserved, pytest.raises(ConnectionRefusedError):
        socket.create_connection(reserved.getsockname())


def test_a_port_of_our_own_that_already_shares_is_still_refused_to_a_second_server() -> None:
    with ports.reserve(ports.free()) as reserved:
        reserved.listen()

        with pytest.raises(ports.PortTaken):
            ports.reserve(reserved.getsockname()[1])


def test_lingering_connections_do_not_make_a_port_taken() -> None:
    port = ports.free()
    with ports.reserve(port), ports.share(port) as server:
        server.listen()
        with socket.create_connection((ports.LOOPBACK, port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server closes first, so its side lingers in TIME_WAIT
            client.recv(1)

    ports.reserve(port).close()
