"""Every request and every answer has an example, and the examples are what they are examples of."""

import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from fastapi.routing import iter_route_contexts
from json_schema import Schemas
from openapi_client import JSON, PROBLEM, Description, Operation

from api.app import ROUTERS
from api.forms import Form, TransitionForm

DESCRIPTION = Description.committed()
SCHEMAS: Schemas = DESCRIPTION.schemas
OPERATIONS = DESCRIPTION.operations
FORMS: dict[str, type[Form]] = {
    str(context.name): hint
    for router in ROUTERS
    for context in iter_route_contexts(router.routes)
    for hint in get_type_hints(context.endpoint).values()
    if isinstance(hint, type) and issubclass(hint, Form)
} | {"request_transition": TransitionForm}  # a dependency of that operation takes it


def contents(operation: Operation) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, response in operation.described["responses"].items():
        for media_type, content in response.get("content", {}).items():
            yield status, media_type, content


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_request_has_an_example_that_its_form_accepts(name: str) -> None:
    body = OPERATIONS[name].described.get("requestBody")
    if body is not None:
        content = body["content"][JSON]
        assert SCHEMAS.flaws(content["schema"], content["example"]) == []
        FORMS[name].model_validate_json(json.dumps(content["example"]))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_has_an_example_of_its_schema(name: str) -> None:
    for status, media_type, content in contents(OPERATIONS[name]):
        if media_type == PROBLEM:
            found = [SCHEMAS.resolve(each)["value"] for each in content["examples"].values()]
            assert found and {each["status"] for each in found} == {int(status)}
        else:
            found = [content["example"]]
        for each in found:
            assert each, f"{name} {status} {media_type} has no example: write one in api/description/examples.py"
            assert media_type not in (JSON, PROBLEM) or SCHEMAS.flaws(content["schema"], each) == []


def test_the_examples_tell_of_one_order() -> None:
    wanted = OPERATIONS["place_order"].example()
    placed = answer("place_order", "201")
    assert [(item["sku"], item["quantity"]) for item in wanted["items"]] == [
        (item["sku"], item["quantity"]) for item in placed["items"]
    ]
    assert placed["total_minor"] == sum(item["quantity"] * item["unit_price_minor"] for item in placed["items"])
    assert placed["links"]["self"] == f"/v1/orders/{placed['id']}"
    shipped = answer("get_order", "200")
    assert (shipped["id"], shipped["status"], shipped["version"]) == (placed["id"], "shipped", 4)
    journey = [event["to_status"] for event in answer("get_events", "200")["data"]]
    assert journey == ["pending", "confirmed", "processing", "shipped", "delivered"]
    assert answer("request_transition", "202")["order_id"] == placed["id"]
    assert answer("orders_per_day", "200")["data"][0]["revenue_minor"] == placed["total_minor"]


def test_a_checker_that_never_complains_proves_nothing() -> None:
    schema = OPERATIONS["place_order"].described["responses"]["201"]["content"][JSON]["schema"]
    good = answer("place_order", "201")
    assert SCHEMAS.flaws(schema, good) == []
    lines = [{**good["items"][0], "quantity": "two"}]
    for bad in (
        {"status": "lost"},
        {"id": "42"},
        {"placed_at": "yesterday"},
        {"version": "1"},
        {"version": True},
        {"items": lines},
        {"secret": 1},
        {"metadata": {"gift": 1}},
    ):
        assert len(SCHEMAS.flaws(schema, {**good, **bad})) == 1
    assert SCHEMAS.flaws(schema, {name: good[name] for name in good if name != "number"}) == [": lacks number"]


def answer(name: str, status: str) -> Any:
    return OPERATIONS[name].described["responses"][status]["content"][JSON]["example"]
