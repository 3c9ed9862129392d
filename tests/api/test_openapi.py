"""The description of the API says what the API does."""

import re
from typing import Any

import pytest
from api_client import Client
from api_routes import OPEN, ROUTES

BODIES = {"POST", "PUT", "PATCH"}


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
    assert ("requestBody" in operation) == (method in BODIES)
    expected = {"400", "503"} | (set() if is_open else {"401", "403"})
    expected |= {"413", "415", "422"} if method in BODIES else set()
    expected |= {"404"} if "_id}" in path or (method == "GET" and "{sku}" in path) else set()
    assert expected <= operation["responses"].keys()
    for status, response in operation["responses"].items():
        if status >= "400" and (path, status) != ("/health/readiness", "503"):
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_the_bearer_scheme_is_declared(description: dict[str, Any]) -> None:
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert description["components"]["securitySchemes"] == {"token": scheme}


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    schemas = set(re.findall(r"#/components/schemas/([A-Za-z_]+)", str(description)))
    assert schemas <= description["components"]["schemas"].keys()
    assert not {"HTTPValidationError", "ValidationError"} & description["components"]["schemas"].keys()


def test_a_key_is_required_where_an_order_is_placed(description: dict[str, Any]) -> None:
    [key] = description["paths"]["/v1/orders"]["post"]["parameters"]
    assert (key["name"].lower(), key["required"]) == ("idempotency-key", True)
    codes = description["paths"]["/v1/orders"]["post"]["responses"]["409"]["description"]
    assert "`idempotency_in_progress`" in codes and "`duplicate_reference`" in codes


def test_bodies_are_closed(description: dict[str, Any]) -> None:
    for name in ("OrderForm", "ItemForm", "TransitionForm", "ProductForm", "Registration", "Login", "RefreshToken"):
        assert description["components"]["schemas"][name]["additionalProperties"] is False


def test_the_page_for_people_may_load_what_it_loads(anonymous: Client) -> None:
    page = anonymous.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    for source, directive in (
        (r'<script src="(https://[^/"]+)', "script-src"),
        (r'rel="stylesheet" href="(https://[^/"]+)', "style-src"),
        (r'rel="shortcut icon" href="(https://[^/"]+)', "img-src"),
    ):
        [origin] = re.findall(source, page.text)
        assert origin in policy[directive].split()
    assert "'unsafe-inline'" in policy["script-src"]  # the page starts itself with an inline script
    assert policy["connect-src"] == "'self'"
