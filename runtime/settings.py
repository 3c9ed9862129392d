"""Settings, read once from the environment and frozen.

Every setting has the name of its environment variable in lower case. The default profile is `production`, which
refuses unsafe values; `orders up` chooses `local` for the processes it starts.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from runtime import production, secret_files
from runtime.rates import Rate

SECRET_BYTES_MIN = 32
ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
OFF = ("", "0", "false", "no", "off")
# What a password hash may cost at most: nobody is to be able to log in at the price of a machine.
ARGON2_MEMORY_KIB_MAX = 128 * 1024
ARGON2_TIME_COST_MAX = 10


# On one's own machine everything comes from one address.
LOCAL_RATES: Mapping[str, str] = {
    "login_tries": "20/hour",
    "login_tries_per_account": "1000/hour",
    "logins_per_address": "6000/minute",
    "registrations_per_address": "6000/minute",
    "refreshes_per_address": "6000/minute",
    "logins": "12000/minute",
    "requests_per_caller": "600000/minute",
    "requests_per_address": "600000/minute",
}


class Environment(StrEnum):
    LOCAL = "local"
    PRODUCTION = "production"


class Confirmation(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class SettingsError(Exception):
    """A setting is missing or not acceptable; the message names the setting and never its value."""


def _has_scheme(*schemes: str) -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        if url.get_secret_value().partition("://")[0] not in schemes:
            raise ValueError(f"expected a URL that begins with {schemes[0]}://")
        return url

    return AfterValidator(check)


def _as_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("expected an IANA time zone such as UTC or Europe/Vienna")
    return name


def _as_duration(value: object) -> object:
    """Plain numbers are seconds; ISO 8601 durations (`PT24H`) are taken as they are."""
    return float(value) if isinstance(value, str) and value.replace(".", "", 1).isdigit() else value


def _split(listed: object) -> object:
    """`a, b` is a list of two."""
    if not isinstance(listed, str):
        return listed
    return tuple(each.strip() for each in listed.split(",") if each.strip())


def _is_on(value: object) -> bool:
    """Whatever is not plainly off is on: nobody may turn something on by a spelling we do not know."""
    return str(value).strip().lower() not in OFF


def _as_networks(listed: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        networks = tuple(ip_network(each) for each in listed)
    except ValueError:
        raise ValueError("expected addresses or networks such as 10.0.0.0/8, separated by commas") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a network of every address would believe everybody")
    return networks


def _as_origins(listed: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers spell them (RFC 6454, section 6.2): compared letter by letter."""
    if any(not ORIGIN.fullmatch(each) for each in listed):
        raise ValueError("expected exact origins such as https://shop.example, separated by commas; there is no *")
    return listed


# The roles of `models/identity/permissions.py`, which stands above this package; a test keeps the two equal.
ROLES = ("customer", "staff", "analyst", "admin")


def _as_roles(listed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if listed and not set(listed) <= set(ROLES):
        raise ValueError(f"expected some of {', '.join(ROLES)}, separated by commas")
    return listed


Networks = tuple[IPv4Network | IPv6Network, ...]
Origins = tuple[str, ...]
Roles = tuple[str, ...]
Duration = Annotated[timedelta, BeforeValidator(_as_duration), Field(ge=timedelta(0))]
# What bounds others has a bound itself.
Timeout = Annotated[timedelta, BeforeValidator(_as_duration), Field(gt=timedelta(0), le=timedelta(minutes=5))]
# To PostgreSQL, no time means no limit.
Limit = Annotated[
    timedelta, BeforeValidator(_as_duration), Field(ge=timedelta(milliseconds=1), le=timedelta(minutes=5))
]
Life = Annotated[timedelta, BeforeValidator(_as_duration), Field(gt=timedelta(0), le=timedelta(days=1))]


def sqlalchemy_url(url: SecretStr) -> str:
    """A database, in the spelling that means psycopg 3 to SQLAlchemy."""
    return f"postgresql+psycopg://{url.get_secret_value().partition('://')[2]}"


class Settings(BaseSettings):
    """The configuration of one process. Durations are seconds or ISO 8601."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    environment: Environment = Environment.PRODUCTION

    database_url: Annotated[SecretStr, _has_scheme("postgresql", "postgres")]
    database_read_url: Annotated[SecretStr, _has_scheme("postgresql", "postgres")] | None = None
    broker_url: Annotated[SecretStr, _has_scheme("redis", "rediss")]
    secret_key: SecretStr
    database_url_file: Path | None = None
    database_read_url_file: Path | None = None
    broker_url_file: Path | None = None
    secret_key_file: Path | None = None
    private_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    debug: Annotated[bool, BeforeValidator(_is_on)] = False

    metrics_token: SecretStr | None = None
    metrics_token_file: Path | None = None
    metrics_directory: Path | None = None
    traces_url: Annotated[str | None, Field(pattern="^https?://")] = None

    confirmation: Confirmation = Confirmation.AUTOMATIC
    pending_ttl: Duration = timedelta(hours=24)
    autopilot: bool = False
    autopilot_dwell: Duration = timedelta(milliseconds=300)
    reporting_tz: Annotated[str, AfterValidator(_as_zone)] = "UTC"

    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: LogFormat | None = None

    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    database_pool_timeout: Duration = timedelta(seconds=2)
    statement_timeout: Limit = timedelta(seconds=3)
    lock_timeout: Limit = timedelta(seconds=2)
    database_read_lag_max: Annotated[timedelta, BeforeValidator(_as_duration), Field(ge=timedelta(seconds=2))] = (
        timedelta(seconds=10)
    )

    token_issuer: str = "order-pipeline"
    token_audience: str = "order-pipeline-api"
    access_token_life: Annotated[timedelta, BeforeValidator(_as_duration), Field(le=timedelta(minutes=15))] = timedelta(
        minutes=15
    )
    refresh_token_life: Duration = timedelta(days=30)
    session_life: Duration = timedelta(days=90)
    argon2_memory_kib: Annotated[int, Field(ge=19456, le=ARGON2_MEMORY_KIB_MAX)] = 19456
    argon2_time_cost: Annotated[int, Field(ge=2, le=ARGON2_TIME_COST_MAX)] = 2
    mfa_required_roles: Annotated[Roles | None, NoDecode, AfterValidator(_as_roles), BeforeValidator(_split)] = None

    trusted_proxies: Annotated[Networks, NoDecode, BeforeValidator(_as_networks), BeforeValidator(_split)] = ()
    cors_origins: Annotated[Origins, NoDecode, AfterValidator(_as_origins), BeforeValidator(_split)] = ()
    hsts: bool = False

    headers_timeout: Timeout = timedelta(seconds=10)
    request_timeout: Timeout = timedelta(seconds=30)
    answer_timeout: Timeout = timedelta(seconds=10)
    stall_timeout: Timeout = timedelta(seconds=30)
    stream_life: Life = timedelta(minutes=15)
    export_life: Life = timedelta(hours=1)

    login_tries: Rate = "10/hour"
    login_tries_per_account: Rate = "100/hour"
    logins_per_address: Rate = "30/minute"
    registrations_per_address: Rate = "20/hour"
    refreshes_per_address: Rate = "300/minute"
    logins: Rate = "1200/minute"
    requests_per_caller: Rate = "6000/minute"
    requests_per_address: Rate = "1200/minute"

    lease: Duration = timedelta(seconds=30)
    max_attempts: Annotated[int, Field(ge=1)] = 8

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        return secret_files.read_all(given, strictly=given.get("environment") != Environment.LOCAL)

    @model_validator(mode="before")
    @classmethod
    def _generous_at_home(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**LOCAL_RATES, **given} if given.get("environment") == Environment.LOCAL else given

    @model_validator(mode="after")
    def _safe(self) -> Self:
        secrets = {"SECRET_KEY": self.secret_key, "METRICS_TOKEN": self.metrics_token}
        given = {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
        complaints = [
            f"{name} must have at least {SECRET_BYTES_MIN} bytes"
            for name, secret in given.items()
            if len(secret.encode()) < SECRET_BYTES_MIN
        ]
        if self.environment is Environment.PRODUCTION:
            complaints += production.complaints(
                given,
                {name: url.get_secret_value() for name, url in self._databases.items() if url is not None},
                self.broker_url.get_secret_value(),
                self.private_hosts,
                self.log_level,
                debug=self.debug,
            )
        complaints += self._times_in_disorder()
        if complaints:
            raise ValueError("\n".join(complaints))
        return self

    def _times_in_disorder(self) -> Iterator[str]:
        """Whoever waits is to be told by the one that is nearest to the cause (SECURITY S29)."""
        if self.lock_timeout >= self.statement_timeout:
            yield "LOCK_TIMEOUT must be shorter than STATEMENT_TIMEOUT: a statement ends with it, whatever it waits for"
        if self.statement_timeout >= self.answer_timeout:
            yield "STATEMENT_TIMEOUT must be shorter than ANSWER_TIMEOUT: a request ends with it, whatever it asks"

    @property
    def _databases(self) -> dict[str, SecretStr | None]:
        return {"DATABASE_URL": self.database_url, "DATABASE_READ_URL": self.database_read_url}

    @property
    def sqlalchemy_url(self) -> str:
        return sqlalchemy_url(self.database_url)

    @property
    def roles_that_need_mfa(self) -> frozenset[str]:
        """Whose tokens permit nothing but setting up multi-factor login, until that is done."""
        unset = ("staff", "admin") if self.environment is Environment.PRODUCTION else ()
        return frozenset(unset if self.mfa_required_roles is None else self.mfa_required_roles)

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which business days begin and end."""
        return ZoneInfo(self.reporting_tz)


class _GivenSettings(Settings):
    """Settings that look at nothing but what they are given."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read settings from `environment` (default: the process's own).

    Raises:
        SettingsError: naming every setting that is missing or refused, one per line, without values.
    """
    given: dict[str, Any] = {name.lower(): value for name, value in (environment or {}).items()}
    try:
        return Settings() if environment is None else _GivenSettings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(detail) for detail in error.errors(include_input=False))) from None


def _complaint(detail: Mapping[str, Any]) -> str:
    name = str(detail["loc"][0]).upper() if detail["loc"] else ""
    if detail["type"] == "missing":
        return f"{name} is not set"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


@cache
def current() -> Settings:
    """The settings of this process, read once."""
    return read()
