"""What callers say when they ask the aggregates: a window, and in which currency, by what, and how fresh.

A window is named by two business days or as a standard one; where nothing is said, something is meant.
"""

from datetime import date, timedelta
from typing import Annotated

from fastapi import Depends, Query

from api.dependencies import OurServices
from api.forms import AS_A_DAY, Currency
from api.services import Services
from models import errors
from models.analytics.periods import GroupBy
from models.analytics.standard_windows import StandardWindow, window_of
from models.analytics.windows import Window
from runtime import clock

WINDOW_DAYS_DEFAULT = 30
WINDOW_DAYS_MAX = 366
EARLIEST, LATEST = date(1970, 1, 1), date(2200, 1, 1)

From = Annotated[date | None, Query(alias="from", ge=EARLIEST, le=LATEST, description="first business day"), AS_A_DAY]
To = Annotated[
    date | None, Query(alias="to", ge=EARLIEST, le=LATEST, description="last business day, included"), AS_A_DAY
]
OneCurrency = Annotated[Currency | None, Query()]
GroupedBy = Annotated[GroupBy, Query(description="weeks begin on Monday; what lies outside of the window is cut off")]
Exact = Annotated[bool, Query(description="true to this very moment, events that are not folded yet included")]


async def _open_window(first: From = None, last: To = None) -> Window:
    """Days as given; an end that is not given is open."""
    if first is not None and last is not None and first > last:
        raise _refusal("to", "`to` is before `from`.")
    return Window(first, last)


OpenWindow = Annotated[Window, Depends(_open_window)]


async def _window(services: OurServices, given: OpenWindow) -> Window:
    """A bounded window: what is not given is chosen so that it has 30 days, today being the last one."""
    first, last = given.first, given.last
    days = timedelta(days=WINDOW_DAYS_DEFAULT - 1)
    last = last or (first + days if first else today(services))
    first = first or last - days
    if (last - first).days >= WINDOW_DAYS_MAX:
        raise _refusal("from", f"The window is longer than {WINDOW_DAYS_MAX} days.")
    return Window(first, last)


OneWindow = Annotated[Window, Depends(_window)]


async def _any_window(
    services: OurServices,
    given: OpenWindow,
    bounded: OneWindow,
    window: Annotated[
        StandardWindow | None, Query(description="so many days, of which today is the last, or all time")
    ] = None,
) -> Window:
    """A standard window by its name, or a bounded one by its days."""
    if window is None:
        return bounded
    if given != Window(None, None):
        raise _refusal("window", "A window has a name, or days: not both.")
    return window_of(window, today(services))


AnyWindow = Annotated[Window, Depends(_any_window)]


def today(services: Services) -> date:
    """The business day it is."""
    return clock.business_day(clock.now(), services.settings.zone)


def _refusal(parameter: str, detail: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(flaws=[errors.Flaw(parameter, "window", detail)])
