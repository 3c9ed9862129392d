"""Rates, as settings spell them: `30/minute`, `1000/10 seconds` (the spelling of the library `limits`)."""

import re
from functools import cache
from typing import Annotated

import limits
from limits import RateLimitItem
from pydantic import AfterValidator

SPELLED = re.compile(r"[1-9]\d{0,8}/(?:[1-9]\d{0,3} )?(?:second|minute|hour|day)s?")


@cache
def parse(spelled: str) -> RateLimitItem:
    """What a spelling means: `amount` per `get_expiry()` seconds.

    Raises:
        ValueError: it is none.
    """
    if not SPELLED.fullmatch(spelled):
        raise ValueError("expected a rate such as 30/minute, 5/hour or 1000/10 seconds")
    return limits.parse(spelled)


def _checked(spelled: str) -> str:
    parse(spelled)
    return spelled


Rate = Annotated[str, AfterValidator(_checked)]
