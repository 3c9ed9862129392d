"""Errors: one drawn tree, one status each, one form on the wire."""

from collections.abc import Iterator
from inspect import getdoc

import pytest
from api_client import ORDERS, Client, assert_problem

from api import malformed, problems
from models import errors


def kinds(
    kind: type[errors.OrderPipelineError] = errors.OrderPipelineError,
) -> Iterator[type[errors.OrderPipelineError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)


KINDS = [kind for kind in kinds() if kind.__module__ in {errors.__name__, malformed.__name__}]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_error_has_a_status_and_a_sentence(kind: type[errors.OrderPipelineError]) -> None:
    assert 400 <= problems.status_of(kind) < 600
    assert (problems.status_of(kind) == 500) == (kind is errors.OrderPipelineError)
    assert (getdoc(kind) or "").endswith((".", "…`.", "where."))
    assert kind.__doc__ != errors.OrderPipelineError.__doc__ or kind is errors.OrderPipelineError


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/orders/", 404),
        ("GET", "//v1/orders", 404),
        ("GET", "/v1/../v1/nothing", 404),
        ("DELETE", ORDERS, 405),
        ("OPTIONS", ORDERS, 405),
        ("PATCH", f"{ORDERS}/x", 405),
        ("TRACE", "/health/liveness", 405),
        ("GET", "/v1/auth/login", 405),
        ("GET", ORDERS, 401),
        ("POST", ORDERS, 401),
        ("POST", "/v1/auth/login", 415),
    ],
)
def test_every_refusal_is_a_problem_document(anonymous: Client, method: str, path: str, status: int) -> None:
    response = anonymous.request(method, path)
    problem = assert_problem(response, status)
    assert problem["type"] == f"urn:order-pipeline:problem:{problem['code']}"
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert (status == 405) == ("Allow" in response.headers)


def test_a_head_request_is_refused_without_a_body(anonymous: Client) -> None:
    response = anonymous.head("/health/liveness")
    assert (response.status_code, response.headers["Allow"], response.content) == (405, "GET", b"")


def test_pointers_lead_to_the_flaws(as_customer: Client) -> None:
    body = {"items": [{"sku": "BOWL", "quantity": 0}, {"sku": "", "quantity": 1}], "metadata": {"k": 1}}
    response = as_customer.post(ORDERS, json=body, headers={"Idempotency-Key": "k"})
    flaws = assert_problem(response, 422, "invalid_request")["errors"]
    assert [flaw["pointer"] for flaw in flaws] == ["/items/0/quantity", "/items/1/sku", "/metadata/k"]
    assert all(flaw.keys() == {"pointer", "code", "detail"} for flaw in flaws)


def test_a_name_the_client_made_up_is_not_repeated(as_customer: Client) -> None:
    made_up = "<script>alert(1)</script>"
    response = as_customer.post(ORDERS, json={"items": [], made_up: 1}, headers={"Idempotency-Key": "k"})
    flaws = assert_problem(response, 422, "invalid_request")["errors"]
    assert [flaw["pointer"] for flaw in flaws] == ["/items", "/…"]


def test_the_list_of_flaws_has_an_end(as_customer: Client) -> None:
    body = {f"n{number}": 1 for number in range(6000)}
    response = as_customer.post(ORDERS, json=body, headers={"Idempotency-Key": "k"})
    assert len(assert_problem(response, 422, "invalid_request")["errors"]) == problems.FLAWS_MAX
