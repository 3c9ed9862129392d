"""What may stand in docker-compose.yml: the part of the Compose Specification that ours uses, closed.

A key or a form that is not here is refused, whichever service it is in, as Docker would refuse it where there is one.
Who needs more of the specification adds it here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Word = Annotated[str, StringConstraints(min_length=1)]
Words = Annotated[list[Word], Field(min_length=1)]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(ms|s|m|h))+$")]
Size = Annotated[str, StringConstraints(pattern=r"^\d+(b|k|kb|m|mb|g|gb)$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")]
# On an address of the host; without one, a port would be open to everybody.
Port = Annotated[str, StringConstraints(pattern=r"^[\d.]+:(\d+|\$\{\w+:-\d+\}):\d+$")]
Mount = Annotated[str, StringConstraints(pattern=r"^(\./[\w./-]+|\w+):/[\w./-]+(:ro)?$")]


class Closed(BaseModel):
    """Strict, because YAML takes `no` for a boolean and 30 for a number where Compose wants words."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Needed(Closed):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Deploy(Closed):
    replicas: Annotated[int, Field(ge=1)]


class HealthCheck(Closed):
    test: Annotated[list[Word], Field(min_length=2)]
    interval: Duration
    timeout: Duration
    retries: Annotated[int, Field(ge=1)]
    start_period: Duration | None = None

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if self.test[0] not in {"CMD", "CMD-SHELL"}:
            raise ValueError("a test begins with CMD or CMD-SHELL")
        return self


class Service(Closed):
    image: Word
    build: Word | None = None
    profiles: list[Word] = []
    command: Words | None = None
    environment: dict[Word, str]
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    depends_on: dict[Word, Needed] = {}
    healthcheck: HealthCheck | None = None
    deploy: Deploy | None = None
    stop_grace_period: Duration | None = None
    init: bool | None = None
    read_only: bool | None = None
    tmpfs: list[Path] = []
    cap_drop: list[Word] = []
    security_opt: list[Word] = []
    shm_size: Size | None = None
    ports: list[Port] = []
    volumes: list[Mount] = []
    secrets: list[Word] = []


class Secret(Closed):
    environment: Word


class File(Closed):
    """The whole file, without its extensions (`x-…`)."""

    services: dict[Word, Service]
    secrets: dict[Word, Secret]
    volumes: dict[Word, None]

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Self:
        for name, service in self.services.items():
            mounted = {mount.partition(":")[0] for mount in service.volumes if not mount.startswith(".")}
            unknown = (
                (service.depends_on.keys() - self.services.keys())
                | (mounted - self.volumes.keys())
                | (set(service.secrets) - self.secrets.keys())
            )
            if unknown:
                raise ValueError(f"{name} names what is not there: {', '.join(sorted(unknown))}")
            for needed, how in service.depends_on.items():
                if how.condition == "service_healthy" and self.services[needed].healthcheck is None:
                    raise ValueError(f"{name} would wait for ever: {needed} has no health check")
        return self


def read(document: Mapping[str, Any]) -> File:
    """The file as it was understood; ValidationError where it is none."""
    return File.model_validate({name: part for name, part in document.items() if not name.startswith("x-")})
