"""Time, in one place: instants are aware and in UTC, business days are dates in the reporting zone."""

from datetime import UTC, date, datetime, tzinfo


def now() -> datetime:
    return datetime.now(UTC)


def business_day(instant: datetime, zone: tzinfo) -> date:
    """The day an instant belongs to in the books. Fixed on an order when it is accepted, and never computed again."""
    return instant.astimezone(zone).date()
