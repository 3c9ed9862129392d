"""How rates are spelled, and what one's own machine is allowed."""

import pytest

from runtime import rates, settings
from runtime.settings import LOCAL_RATES, SettingsError

NEEDED = {"DATABASE_URL": "postgresql://db/orders", "BROKER_URL": "redis://broker/0", "SECRET_KEY": "0123456789" * 4}


@pytest.mark.parametrize(
    ("spelled", "amount", "seconds"),
    [("30/minute", 30, 60), ("5/hour", 5, 3600), ("1000/10 seconds", 1000, 10), ("1/day", 1, 86400)],
)
def test_a_rate_is_an_amount_in_a_while(spelled: str, amount: int, seconds: int) -> None:
    rate = rates.parse(spelled)
    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize("spelled", ["", "canary", "0/minute", "-1/minute", "30", "30/canary", "30/minute;1/hour"])
def test_what_is_no_rate_is_refused_at_the_start(spelled: str) -> None:
    with pytest.raises(SettingsError, match="LOGIN_TRIES: expected a rate such as"):
        settings.read({**NEEDED, "LOGIN_TRIES": spelled})


def test_s36_at_home_the_rates_are_generous_and_what_is_set_still_holds() -> None:
    local = settings.read({**NEEDED, "ENVIRONMENT": "local", "LOGINS": "7/minute"})
    per_second = {name: rates.parse(getattr(local, name)) for name in LOCAL_RATES}
    for name in ("requests_per_caller", "requests_per_address"):
        assert per_second[name].amount / per_second[name].get_expiry() >= 5000
    for name in ("logins_per_address", "registrations_per_address"):
        assert per_second[name].amount / per_second[name].get_expiry() >= 100 / 60
    assert local.logins == "7/minute"


def test_in_production_they_are_not() -> None:
    read = settings.read({**NEEDED, "PRIVATE_HOSTS": "db,broker", "BROKER_URL": "redis://:word@broker/0"})
    local = settings.read({**NEEDED, "ENVIRONMENT": "local"})
    for name in LOCAL_RATES:
        here, there = rates.parse(getattr(read, name)), rates.parse(getattr(local, name))
        assert here.amount / here.get_expiry() < there.amount / there.get_expiry()
