"""What all answers have in common: the base of the models, money, times, and pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

Minor = Annotated[int, Field(description="in minor units of the currency: cents, yen, fils")]
# pydantic writes it as RFC 3339 does, with `Z`: every connection to the database speaks UTC.
Timestamp = datetime


class View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class PageView(View, Generic[T]):
    data: Sequence[T]
    has_more: bool
    next_cursor: Annotated[str | None, Field(description="where the next page begins; pass it back as it is")]
