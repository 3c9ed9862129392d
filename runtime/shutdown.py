"""How processes end: whether this one was asked to, and how long each part of an ending may take.

Whoever stops a process gives it the sum of its parts, and kills it then: `ops/processes/supervisor.py`, and, with time
to spare, docker-compose.yml. A test holds it, and the table in docs/operations.md ("Stopping"), to these numbers.
"""

import threading

# An API process answers what it was asked, and has open streams end; it takes nothing more. This is uvicorn's grace.
ANSWER_SECONDS = 10
# Then it writes what was taken and not written yet: orders, refusals, when API keys were used.
WRITE_SECONDS = 5
# Then it lets go of its connections.
CLOSE_SECONDS = 2
# It, and each process that works, sends its last spans, where somebody collects them.
FLUSH_SECONDS = 2
# A worker finishes the batches that are in work.
WORK_SECONDS = 5
# What runs beside in threads of a node: its presence, and the relay's loop, which ends with what it is asking.
PRESENCE_SECONDS = 5
RELAY_SECONDS = 10
# For all that takes no time on a machine that has some.
SPARE_SECONDS = 3

API_SECONDS = ANSWER_SECONDS + WRITE_SECONDS + CLOSE_SECONDS + FLUSH_SECONDS + SPARE_SECONDS
WORKER_SECONDS = WORK_SECONDS + PRESENCE_SECONDS + FLUSH_SECONDS + SPARE_SECONDS
RELAY_NODE_SECONDS = RELAY_SECONDS + SPARE_SECONDS
# Engines, beat and Flower need little, and lose nothing that matters where they are killed.
OTHERS_SECONDS = 10

_begun = threading.Event()


def begin() -> None:
    _begun.set()


def has_begun() -> bool:
    """What would go on for ever, such as an open stream, looks here."""
    return _begun.is_set()


def forget() -> None:
    """For a process that outlives what was stopped in it, as a test run does."""
    _begun.clear()
