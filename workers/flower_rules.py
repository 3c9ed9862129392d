"""What holds for Flower however it is started: somebody has to log in, nothing can be done there, and it stays at home.

Flower reads its options, and then asks the app to import its tasks: between the two, this looks at what it has read.
"""

from flower.options import options  # type: ignore[import-untyped]

LOOPBACK = "127.0.0.1"


def apply() -> None:
    """Ends the process where Flower was given no login; without an address it listens on the loopback only."""
    if not (options.basic_auth or options.auth):
        raise SystemExit(
            "Flower shows orders' tasks to everybody who can reach it: set FLOWER_BASIC_AUTH=user:password, "
            "or give it --auth for OAuth."
        )
    if not options.address and not options.unix_socket:
        options.address = LOOPBACK
    options.read_only = True
