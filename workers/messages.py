"""What may come out of the queue: a known task and the ids of its outbox rows, as JSON. Everything else is refused.

A message holds nothing that is not in PostgreSQL too, so refusing one loses no work: its rows, if it has any, count a
failed attempt and come again. A message without rows leaves a dead letter of its own, so that somebody sees it.
Nothing of its body is written down (SECURITY S39, S40).
"""

import re
from collections.abc import Sequence

from models import dead_letters, outbox
from runtime import database, logs
from workers import attempts

log = logs.get(__name__)

UNKNOWN_TASK = "no task has this name"
NO_TASK = "the message names no task"
NOT_JSON = "the message is not in JSON"
NOT_IDS = "the arguments are not ids of outbox rows"
NAMELESS = "(none)"

ROWS_MAX = 1000
ID_MAX = 2**63 - 1
NAME_CHARACTERS_MAX = 100
STRANGE = re.compile(r"[^A-Za-z0-9_.-]")


def row_ids(arguments: object, named: object) -> list[int] | None:
    """The one argument of every task of ours; None where these are not its arguments."""
    match arguments, named:
        case ([list() as ids], {}) if not named and len(ids) <= ROWS_MAX and all(map(_is_id, ids)):
            return ids
        case _:
            return None


def _is_id(value: object) -> bool:
    return type(value) is int and 0 < value <= ID_MAX


def name_of(given: object) -> str:
    """A task's name as somebody sent it, in characters that can be shown anywhere."""
    return STRANGE.sub("?", given[:NAME_CHARACTERS_MAX]) if isinstance(given, str) and given else NAMELESS


def refuse(name: str, why: str, ids: Sequence[int] = ()) -> None:
    """Count an attempt for the rows of this kind that the message names; keep a dead letter if there are none."""
    with database.transaction() as connection:
        rows = outbox.due_of_kind(connection, ids, name)
        times = 0 if rows else dead_letters.note_message(connection, name, why)
    log.error("message refused", kind=name, why=why, rows=len(rows))
    if rows:
        attempts.count(rows, why)
    else:
        attempts.tell_of_letter(name, why, times)
