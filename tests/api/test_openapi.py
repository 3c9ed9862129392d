"""The description of the API says what the API does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import Client
from api_routes import OPEN, ROUTES

from api import malformed
from models import errors
from models.identity.permissions import Role
from models.lifecycle import Actor, Status
from ops import openapi
from ops.failures import LocalError


def problem_kinds(
    kind: type[errors.OrderPipelineError] = errors.OrderPipelineError,
) -> Iterator[type[errors.OrderPipelineError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from problem_kinds(narrower)


BODIES = {"POST", "PUT", "PATCH"}
ROOT = Path(__file__).parents[2]
KINDS = [each for each in problem_kinds() if each.__module__ in {errors.__name__, malformed.__name__}]
# Nothing is refused as one of these: they are what their kinds have in common.
KINDS_IN_COMMON = {"unauthenticated", "refused", "unacceptable_order"}


@pytest.fixture
def description(anonymous: Client) -> dict[str, Any]:
    described: dict[str, Any] = anonymous.get("/openapi.json").json()
    return described


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_names_its_token_its_body_and_its_refusals(
    description: dict[str, Any], method: str, path: str
) -> None:
    operation = description["paths"][path][method.lower()]
    is_open = path in OPEN
    assert operation["security"] == ([] if is_open else [{"token": []}])
    has_body = method in BODIES or path == "/v1/users/me/mfa/totp"  # turning it off takes proof, which no URL may hold
    assert ("requestBody" in operation) == has_body
    expected = {"400", "500", "503"} | (set() if is_open else {"401", "403"})
    expected |= {"413", "415", "422"} if has_body else set()
    expected |= {"404"} if "_id}" in path or (method == "GET" and "{sku}" in path) else set()
    assert expected <= operation["responses"].keys()
    for status, response in operation["responses"].items():
        if status >= "400" and (path, status) != ("/health/readiness", "503"):
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert all(f"`{code}`: " in response["description"] for code in content["examples"])


def test_the_bearer_scheme_is_declared(description: dict[str, Any]) -> None:
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert description["components"]["securitySchemes"] == {"token": scheme}


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    references = set(re.findall(r"'\$ref': '#/components/([^']+)'", str(description)))
    kinds = ("schemas", "examples", "headers")
    assert references <= {f"{kind}/{name}" for kind in kinds for name in description["components"][kind]}
    assert {f"schemas/{name}" for name in description["components"]["schemas"]} <= references
    assert not {"HTTPValidationError", "ValidationError"} & description["components"]["schemas"].keys()


def test_a_key_is_required_where_an_order_is_placed(description: dict[str, Any]) -> None:
    [key] = description["paths"]["/v1/orders"]["post"]["parameters"]
    assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)
    codes = description["paths"]["/v1/orders"]["post"]["responses"]["409"]["description"]
    assert "`idempotency_in_progress`" in codes and "`duplicate_reference`" in codes


def test_bodies_are_closed(description: dict[str, Any]) -> None:
    for name in ("OrderForm", "ItemForm", "TransitionForm", "ProductForm", "Registration", "Login", "RefreshToken"):
        assert description["components"]["schemas"][name]["additionalProperties"] is False


def operations(description: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in description["paths"].values() for operation in item.values()]


def test_what_is_served_is_what_is_committed(description: dict[str, Any]) -> None:
    openapi.check(openapi.COMMITTED)
    assert json.loads(openapi.COMMITTED.read_text(encoding="utf-8")) == description


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_file_that_is_not_current_is_found_out(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "openapi.json"
    if content:
        file.write_text(content)
    with pytest.raises(LocalError, match="is not current; write it anew with: orders openapi"):
        openapi.check(file)


def test_the_command_needs_no_settings_and_says_the_same_every_time() -> None:
    command = [sys.executable, "-m", "ops", "openapi"]
    environment = {"PATH": os.environ["PATH"]}
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout
    assert printed == openapi.COMMITTED.read_bytes()
    stale = subprocess.run(
        [*command, "--check", "--output", "pyproject.toml"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert stale.returncode == 1 and b"not current" in stale.stderr


def test_operations_have_names_and_words_for_people(description: dict[str, Any]) -> None:
    found = operations(description)
    names = [operation["operationId"] for operation in found]
    assert len(set(names)) == len(names) == len(ROUTES)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
    assert {"register", "login", "place_order", "get_order", "list_orders", "request_transition"} <= set(names)
    assert all(operation["description"] for operation in found)
    assert all(response["description"] for operation in found for response in operation["responses"].values())
    assert {tag for operation in found for tag in operation["tags"]} == {tag["name"] for tag in description["tags"]}
    assert description["servers"] == [{"url": "/", "description": description["servers"][0]["description"]}]


def test_every_refusal_is_documented_somewhere_and_as_it_is_sent(description: dict[str, Any]) -> None:
    documented = {
        code
        for operation in operations(description)
        for response in operation["responses"].values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert documented == {kind.code for kind in KINDS} - KINDS_IN_COMMON
    for code, example in description["components"]["examples"].items():
        assert example["value"]["code"] == code
        assert example["value"]["type"] == f"urn:order-pipeline:problem:{code}"


def test_enumerations_are_those_of_the_code(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    for kind in (Status, Actor, Role):
        assert schemas[kind.__name__]["enum"] == list(kind)


def test_parameters_are_spelled_as_in_their_standards_and_never_null(description: dict[str, Any]) -> None:
    parameters = [each for operation in operations(description) for each in operation.get("parameters", ())]
    headers = {each["name"] for each in parameters if each["in"] == "header"}
    assert headers >= {"Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "Last-Event-ID"}
    assert all("null" not in str(each["schema"]) for each in parameters)
