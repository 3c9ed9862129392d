"""Settings come from the environment, are frozen, and say by name what is wrong with them."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from models.identity.permissions import Role
from runtime import settings
from runtime.settings import Environment, SettingsError

SECRET = "0123456789abcdef" * 2
GOOD = {
    "DATABASE_URL": "postgresql://user:pa55@db/orders?sslmode=verify-full",
    "BROKER_URL": "rediss://:pa55@broker/0",
    "SECRET_KEY": SECRET,
}


def test_production_is_the_default_and_does_nothing_by_itself_that_people_should_do() -> None:
    read = settings.read(GOOD)
    assert read.environment is Environment.PRODUCTION
    assert read.autopilot is False


def test_every_missing_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        settings.read({})
    assert str(error.value).splitlines() == [
        "DATABASE_URL is not set",
        "BROKER_URL is not set",
        "SECRET_KEY is not set",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://canary@db"),
        ("BROKER_URL", "amqp://canary@broker"),
        ("SECRET_KEY", "canary-too-short"),
        ("SECRET_KEY", "change-me-canary" + SECRET),
        ("METRICS_TOKEN", "canary-too-short"),
        ("METRICS_TOKEN", "change-me-canary" + SECRET),
        ("REPORTING_TZ", "Canary/Islands"),
        ("LOG_LEVEL", "CANARY"),
        ("PENDING_TTL", "canary"),
        ("PENDING_TTL", "-1"),
        ("ACCESS_TOKEN_LIFE", "901"),
        ("ARGON2_MEMORY_KIB", "19455"),
        ("ARGON2_TIME_COST", "1"),
        ("CONFIRMATION", "canary"),
        ("MFA_REQUIRED_ROLES", "canary"),
        ("MFA_REQUIRED_ROLES", "admin, canary"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings.read({**GOOD, name: value})
    assert name in str(error.value)
    assert "canary" not in str(error.value).lower()


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("STATEMENT_TIMEOUT", {"STATEMENT_TIMEOUT": "0"}),
        ("LOCK_TIMEOUT", {"LOCK_TIMEOUT": "0"}),
        ("LOCK_TIMEOUT", {"LOCK_TIMEOUT": "0.0004"}),  # PostgreSQL counts milliseconds: none of them is no limit
        ("STATEMENT_TIMEOUT", {"STATEMENT_TIMEOUT": "PT1H", "ANSWER_TIMEOUT": "300"}),
        ("LOCK_TIMEOUT", {"LOCK_TIMEOUT": "3"}),
        ("LOCK_TIMEOUT", {"STATEMENT_TIMEOUT": "2"}),
        ("STATEMENT_TIMEOUT", {"STATEMENT_TIMEOUT": "10"}),
        ("STATEMENT_TIMEOUT", {"ANSWER_TIMEOUT": "3"}),
    ],
)
def test_s29_limits_are_limits_and_who_is_nearer_to_the_cause_gives_up_first(named: str, given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"^{named}") as error:
        settings.read({**GOOD, **given})
    assert len(str(error.value).splitlines()) == 1
    settings.read({**GOOD, "LOCK_TIMEOUT": "0.001", "STATEMENT_TIMEOUT": "0.002", "ANSWER_TIMEOUT": "0.003"})


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [("90", timedelta(seconds=90)), ("0.5", timedelta(seconds=0.5)), ("PT24H", timedelta(days=1))],
)
def test_durations_are_seconds_or_iso_8601(spelled: str, meant: timedelta) -> None:
    assert settings.read({**GOOD, "PENDING_TTL": spelled}).pending_ttl == meant


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_database_url_as_other_tools_spell_it_means_psycopg(scheme: str) -> None:
    read = settings.read({**GOOD, "DATABASE_URL": f"{scheme}://user@/orders?host=/sockets"})
    assert read.sqlalchemy_url == "postgresql+psycopg://user@/orders?host=/sockets"


def test_settings_cannot_be_changed() -> None:
    read = settings.read(GOOD)
    with pytest.raises(ValidationError):
        read.autopilot = True  # type: ignore[misc]


def test_printing_settings_shows_no_secret() -> None:
    shown = repr(settings.read(GOOD))
    assert SECRET not in shown
    assert "pa55" not in shown


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, {"staff", "admin"}),
        ({"ENVIRONMENT": "local"}, set()),
        ({"ENVIRONMENT": "local", "MFA_REQUIRED_ROLES": "admin"}, {"admin"}),
        ({"MFA_REQUIRED_ROLES": "customer,staff,analyst,admin"}, set(Role)),
        ({"MFA_REQUIRED_ROLES": "admin, staff"}, {"admin", "staff"}),
        ({"MFA_REQUIRED_ROLES": ""}, set()),
    ],
)
def test_mfa_is_needed_by_staff_and_admin_in_production_unless_said_otherwise(
    given: dict[str, str], needed: set[str]
) -> None:
    assert settings.read({**GOOD, **given}).roles_that_need_mfa == needed


def test_mfa_the_roles_that_settings_know_are_the_roles_there_are() -> None:
    assert set(settings.ROLES) == set(Role)
