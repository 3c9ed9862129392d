"""docker-compose.yml has the form of a Compose file, to the letter, in every service."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import compose_file
import compose_schema
import pytest
from pydantic import ValidationError

DOCUMENT = compose_file.document()
SERVICES = DOCUMENT["services"]
# What stands in these is named by us, and not by Compose.
NAMES = ("environment", "depends_on")


def closed(part: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Where a mapping is whose keys are Compose's, within a service."""
    if isinstance(part, dict):
        if path[-1:] not in [(name,) for name in NAMES]:
            yield path
        for key, value in part.items():
            yield from closed(value, *path, key)


def changed(service: str, path: tuple[str, ...], changes: dict[str, Any]) -> dict[str, Any]:
    """The file with other keys in one of the mappings of a service; a key whose value is None is taken out."""
    document = deepcopy(DOCUMENT)
    part = document["services"][service]
    for key in path:
        part = part[key]
    for key, value in changes.items():
        part.pop(key, None)
        if value is not None:
            part[key] = value
    return document


def test_it_has_the_form_of_a_compose_file() -> None:
    assert compose_schema.read(DOCUMENT).services.keys() == SERVICES.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_a_key_that_is_misspelled_is_noticed_in_every_service(service: str) -> None:
    places = list(closed(SERVICES[service]))
    assert () in places
    for path in places:
        part = SERVICES[service]
        for step in path:
            part = part[step]
        for key, value in part.items():
            with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
                compose_schema.read(changed(service, path, {key: None, key[:-1]: value}))


@pytest.mark.parametrize(
    ("service", "path", "changes"),
    [
        ("migrate", (), {"restart": False}),
        ("worker", (), {"restart": "unless_stopped"}),
        ("api", (), {"command": "orders serve"}),
        ("api", (), {"environment": ["ENVIRONMENT=production"]}),
        ("api", (), {"ports": ["8000:8000"]}),
        ("worker", (), {"stop_grace_period": 30}),
        ("postgres", (), {"shm_size": "much"}),
        ("grafana", ("environment",), {"GF_USERS_ALLOW_SIGN_UP": False}),
        ("prometheus", ("healthcheck",), {"test": ["wget", "http://127.0.0.1:9090/-/healthy"]}),
        ("valkey", ("healthcheck",), {"interval": "5 seconds"}),
        ("relay", ("deploy",), {"replicas": "2"}),
        ("flower", ("depends_on", "valkey"), {"condition": "healthy"}),
    ],
)
def test_a_value_of_the_wrong_form_is_noticed(service: str, path: tuple[str, ...], changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"services\.{service}\."):
        compose_schema.read(changed(service, path, changes))


@pytest.mark.parametrize(
    ("service", "path", "changes", "complaint"),
    [
        ("api", ("depends_on",), {"postgre": {"condition": "service_healthy"}}, "not there: postgre"),
        ("flower", (), {"volumes": ["flowers:/var/lib/orders"]}, "not there: flowers"),
        ("prometheus", (), {"secrets": ["metric"]}, "not there: metric"),
        ("valkey", (), {"healthcheck": None}, "valkey has no health check"),
    ],
)
def test_what_is_named_has_to_be_there(
    service: str, path: tuple[str, ...], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        compose_schema.read(changed(service, path, changes))


@pytest.mark.parametrize("key", ["services", "secrets", "volumes"])
def test_a_misspelled_part_is_noticed(key: str) -> None:
    document = {name: part for name, part in DOCUMENT.items() if name != key}
    with pytest.raises(ValidationError):
        compose_schema.read({**document, key[:-1]: DOCUMENT[key]})
