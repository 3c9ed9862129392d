"""What `/openapi.json` says beyond what FastAPI finds by itself: who needs a token, every refusal there can be, the
headers of answers, and examples.

A route names the refusals that are its own; those that follow from what it is (guarded, with a body) are added here.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import getdoc
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import forms, malformed, problems
from api.description import examples, headers
from api.identity import access
from models import errors

Refusal = type[errors.OrderPipelineError]
K = TypeVar("K")

EVERYWHERE: Sequence[Refusal] = (
    malformed.UnreadableRequest,
    malformed.UnknownQueryParameter,
    malformed.TooSlow,
    malformed.TargetTooLong,
    malformed.HeadersTooLarge,
    errors.OrderPipelineError,
    errors.RateLimited,
    errors.Unavailable,
    errors.TookTooLong,
)
WITH_QUERY: Sequence[Refusal] = (errors.InvalidRequest,)
WITH_BODY: Sequence[Refusal] = (
    errors.InvalidRequest,
    malformed.MalformedJson,
    malformed.UnsupportedMediaType,
    malformed.BodyTooLarge,
)
GUARDED: Sequence[Refusal] = (errors.InvalidToken, errors.Forbidden, errors.MfaEnrolmentRequired)

PROBLEM = {"$ref": "#/components/schemas/Problem"}
SCHEMAS = {
    "Problem": {
        "title": "Problem",
        "description": "A refusal (RFC 9457). `invalid_transition` adds `current` and `allowed`, "
        "`duplicate_reference` adds `order`, `letter_resolved` adds `resolved_how`, "
        "`key_rotated` adds `rotated_to`.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string", "description": "the phrase of the status"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "for people"},
            "code": {"type": "string", "description": "for programs: the documented name of this refusal"},
            "request_id": {"type": ["string", "null"]},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Flaw"}},
            "current": {"type": "string", "description": "the status the order is in"},
            "allowed": {"type": "array", "items": {"type": "string"}, "description": "where the caller may move it"},
            "order": {"type": "string", "description": "the path of the order that has the reference already"},
            "resolved_how": {"type": "string", "description": "what became of the dead letter"},
            "rotated_to": {"type": "string", "description": "the id of the key that is in use now"},
        },
    },
    "Flaw": {
        "title": "Flaw",
        "type": "object",
        "required": ["pointer", "code", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "a JSON pointer into the body, or a parameter's name"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
    },
}
# FastAPI describes with these the body of its own 422, which nobody gets from us.
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
NULL = {"type": "null"}
# `PageView[OrderView]`, as a title and as the name of a schema.
GENERIC_PAGE = re.compile(r"PageView[\[_](\w+?)View[\]_]")


# What `api/edge/json_bodies.py` reads in a string, for readers of the description.
READABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"


def may_refuse(*kinds: Refusal) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may refuse in these ways."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        nothing = {"description": "", "content": {problems.MEDIA_TYPE: {"schema": PROBLEM, "examples": {}}}}
        known = responses.setdefault(problems.status_of(kind), nothing)
        known["description"] = f"{known['description']}\n\n`{kind.code}`: {getdoc(kind)}".strip()
        known["content"][problems.MEDIA_TYPE]["examples"][kind.code] = {"$ref": f"#/components/examples/{kind.code}"}
    return responses


def _tree(kind: type[K]) -> Iterator[type[K]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _tree(narrower)


def _describe_texts(schema: Any) -> None:
    """Say of every text that no rule of its own restricts which characters it may have."""
    if isinstance(schema, list):
        for each in schema:
            _describe_texts(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "string" and not schema.keys() & {"pattern", "enum", "format"}:
            schema["pattern"] = READABLE
        for each in schema.values():
            _describe_texts(each)


def operation_id(route: APIRoute) -> str:
    """Operations are named after the functions that answer them."""
    return route.name


class Api(FastAPI):
    """FastAPI with an accurate description of itself."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            # A copy, because FastAPI puts what the routes declare into it as it is; with pages under names for people.
            named = GENERIC_PAGE.sub(r"\1Page", json.dumps(super().openapi()))
            self.openapi_schema = self._complete(json.loads(named))
        return self.openapi_schema

    def _complete(self, schema: dict[str, Any]) -> dict[str, Any]:
        components = schema["components"]
        for form in _tree(forms.Form):
            _describe_texts(components["schemas"].get(form.__name__, {}))
        components["schemas"] |= SCHEMAS
        components["schemas"]["BatchItemView"]["properties"]["problem"]["anyOf"] = [PROBLEM, NULL]
        components["examples"] = {
            kind.code: {"value": examples.problem(kind)} for kind in _tree(errors.OrderPipelineError)
        }
        components["headers"] = headers.ALWAYS_THERE
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        for name in UNUSED_SCHEMAS:
            components["schemas"].pop(name, None)
        for context in iter_route_contexts(self.routes):
            for method in context.methods or ():
                operation = schema["paths"].get(context.path_format, {}).get(method.lower())
                if operation is not None:
                    _describe(operation, components["schemas"], is_public=access.is_public(context))
        return schema


def _describe(operation: dict[str, Any], schemas: Mapping[str, Any], *, is_public: bool) -> None:
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    operation["security"] = [] if is_public else [{"token": []}]
    for parameter in operation.get("parameters", ()):
        _describe_parameter(parameter)
    _add_refusals(operation, is_public=is_public)
    for status, response in operation["responses"].items():
        _describe_answer(operation, status, response, schemas)
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        body["example"] = examples.REQUESTS.get(operation["operationId"])


def _describe_parameter(parameter: dict[str, Any]) -> None:
    # To FastAPI it is optional, because we ourselves say (with 400) that it is missing.
    parameter["required"] |= parameter["name"] == "Idempotency-Key"
    schema = parameter["schema"]
    if NULL in schema.get("anyOf", ()):  # Nobody can send null outside of a body: it is only absent.
        [given] = [each for each in schema.pop("anyOf") if each != NULL]
        parameter["schema"] = schema | given
    if parameter["name"] in examples.PARAMETERS:
        parameter["example"] = examples.PARAMETERS[parameter["name"]]


def _add_refusals(operation: dict[str, Any], *, is_public: bool) -> None:
    responses = operation["responses"]
    if problems.MEDIA_TYPE not in responses.get("422", {}).get("content", {}):
        responses.pop("422", None)
    for status, response in may_refuse(*_kinds_that_follow(operation, is_public=is_public)).items():
        own = responses.setdefault(str(status), response)
        if own is not response and problems.MEDIA_TYPE in own.get("content", {}):
            own["description"] = f"{response['description']}\n\n{own['description']}"
            own["content"][problems.MEDIA_TYPE]["examples"] |= response["content"][problems.MEDIA_TYPE]["examples"]


def _kinds_that_follow(operation: dict[str, Any], *, is_public: bool) -> Iterator[Refusal]:
    yield from EVERYWHERE
    if not is_public:
        yield from GUARDED
    if "requestBody" in operation:
        yield from WITH_BODY
    elif any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        yield from WITH_QUERY


def _describe_answer(
    operation: dict[str, Any], status: str, response: dict[str, Any], schemas: Mapping[str, Any]
) -> None:
    content = response.get("content", {})
    if response["description"] == "Successful Response":
        response["description"] = "Done." if status == "204" else "The answer."
    for media_type, described in content.items():
        if media_type != problems.MEDIA_TYPE:
            described.setdefault("schema", {"type": "string"})
            described["example"] = examples.answer(operation["operationId"], status, media_type)
    schema = content.get("application/json", {}).get("schema", {})
    named = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
    response["headers"] = headers.of(
        operation["operationId"],
        status,
        is_problem=problems.MEDIA_TYPE in content,
        is_keyed=any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())),
        is_page="next_cursor" in named.get("properties", {}),
    )
