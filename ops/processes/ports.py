"""Which TCP ports we take, and how several processes come to listen on one.

Each API process has a listening socket of its own (SO_REUSEPORT): with one shared socket the kernel may hand all
connections to a single process.
"""

import random
import socket

from ops.failures import LocalError

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections. A client that keeps trying to reach a dead
# server on a port inside that range ends up, sooner or later, connected to itself and holds the port for ever.
QUIET_PORTS = range(20_000, 30_000)
ATTEMPTS = 100
NOT_SENT_BYTES_MAX = 128 * 1024


class PortTaken(LocalError):
    """Somebody else listens on the wanted port."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nobody holds the port; old connections that linger on it (TIME_WAIT) do not count."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free() -> int:
    """A port nobody holds, somewhere out of the way."""
    for port in random.sample(QUIET_PORTS, ATTEMPTS):
        if is_free(port):
            return port
    raise PortTaken(f"none of {ATTEMPTS} ports tried between {QUIET_PORTS.start} and {QUIET_PORTS.stop} is free.")


def next_free(wanted: int, host: str = LOOPBACK) -> int:
    """The wanted port or the first free one after it."""
    for port in range(wanted, min(wanted + ATTEMPTS, 65_536)):
        if is_free(port, host):
            return port
    raise PortTaken(f"no port from {wanted} to {wanted + ATTEMPTS - 1} is free; choose another with --port.")


def reserve(port: int, host: str = LOOPBACK) -> socket.socket:
    """Take a free port for processes of ours that will `share` it; it stays ours as long as the socket is open.

    Raises:
        PortTaken: also if the holder would be willing to share, as another `orders serve` is.
    """
    if not is_free(port, host):
        raise PortTaken(
            f"port {port} on {host} is taken or may not be used by us; stop what listens there, "
            f"or choose another with --port."
        )
    return _bound(port, host)


def share(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket of our own, to listen on, on a port that we have reserved."""
    listener = _bound(port, host)
    # Connections inherit this, and only then do they not count as holders when they linger after we have stopped. It is
    # set after binding, and never on the reservation, because sockets that bind with it do not see each other.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What a client does not read waits in our process, where it is seen, and not as megabytes in the kernel.
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES_MAX)
    return listener


def _bound(port: int, host: str) -> socket.socket:
    made = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise PortTaken(f"port {port} on {host} cannot be used: {error.strerror or error}.") from error
    return made


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
