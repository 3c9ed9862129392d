"""What a Celery process is called in the logs: worker, relay, beat or flower."""

from collections.abc import Sequence

COMMANDS = ("beat", "flower")


def process_name(arguments: Sequence[str]) -> str:
    """The role of the process with this command line."""
    for command in COMMANDS:
        if command in arguments:
            return command
    return "relay" if any(argument.startswith("relay") for argument in arguments) else "worker"
