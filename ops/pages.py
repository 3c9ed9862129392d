"""A long list, read page by page as the API's clients do."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

ROWS_PER_PAGE = 500


class Row(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=Row)


def gathered(page: Callable[[UUID | None, int], Sequence[T]], limit: int) -> list[T]:
    """The first `limit` rows; `page` reads so many of those behind an id (None: from the beginning)."""
    found: list[T] = []
    while len(found) < limit:
        wanted = min(ROWS_PER_PAGE, limit - len(found))
        rows = page(found[-1].id if found else None, wanted)
        found += rows
        if len(rows) < wanted:
            break
    return found
