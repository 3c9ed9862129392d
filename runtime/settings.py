"""Settings, read once from the environment and frozen.

Every setting has the name of its environment variable in lower case. The default profile is `production`, which
refuses unsafe values; `orders up` chooses `local` for the processes it starts.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

SECRET_BYTES_MIN = 32
EXAMPLE_SECRETS = ("change", "example", "secret", "password", "default", "your-")


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


Duration = Annotated[timedelta, BeforeValidator(_as_duration), Field(ge=timedelta(0))]


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

    confirmation: Confirmation = Confirmation.AUTOMATIC
    pending_ttl: Duration = timedelta(hours=24)
    autopilot: bool = False
    autopilot_dwell: Duration = timedelta(milliseconds=300)
    reporting_tz: Annotated[str, AfterValidator(_as_zone)] = "UTC"

    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: LogFormat | None = None

    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    database_pool_timeout: Duration = timedelta(seconds=2)
    statement_timeout: Duration = timedelta(seconds=3)
    lock_timeout: Duration = timedelta(seconds=2)
    database_read_lag_max: Annotated[timedelta, BeforeValidator(_as_duration), Field(ge=timedelta(seconds=2))] = (
        timedelta(seconds=10)
    )

    token_issuer: str = "order-pipeline"
    token_audience: str = "order-pipeline-api"
    access_token_life: Annotated[timedelta, BeforeValidator(_as_duration), Field(le=timedelta(minutes=15))] = timedelta(
        minutes=15
    )
    refresh_token_life: Duration = timedelta(days=30)
    argon2_memory_kib: Annotated[int, Field(ge=19456)] = 19456
    argon2_time_cost: Annotated[int, Field(ge=2)] = 2

    lease: Duration = timedelta(seconds=30)
    max_attempts: Annotated[int, Field(ge=1)] = 8

    @model_validator(mode="after")
    def _safe(self) -> Self:
        secret = self.secret_key.get_secret_value()
        if len(secret.encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"SECRET_KEY must have at least {SECRET_BYTES_MIN} bytes")
        if self.environment is Environment.PRODUCTION and secret.lower().startswith(EXAMPLE_SECRETS):
            raise ValueError("SECRET_KEY is an example; generate one with: openssl rand -hex 32")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        return sqlalchemy_url(self.database_url)

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
