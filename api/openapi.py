"""What `/openapi.json` says beyond what FastAPI finds by itself: who needs a token, and every refusal there can be.

A route names the refusals that are its own; those that follow from what it is (guarded, with a body) are added here.
"""

from collections.abc import Sequence
from inspect import getdoc
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api import access, problems
from models import errors

Refusal = type[errors.OrderPipelineError]

EVERYWHERE: Sequence[Refusal] = (errors.UnknownQueryParameter, errors.Unavailable)
WITH_PARAMETERS: Sequence[Refusal] = (errors.InvalidRequest,)
WITH_BODY: Sequence[Refusal] = (errors.MalformedJson, errors.UnsupportedMediaType, errors.BodyTooLarge)
GUARDED: Sequence[Refusal] = (errors.InvalidToken, errors.Forbidden)

PROBLEM = {"$ref": "#/components/schemas/Problem"}
SCHEMAS = {
    "Problem": {
        "title": "Problem",
        "description": "A refusal (RFC 9457). Some codes add members, such as `current` and `allowed`.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "request_id": {"type": ["string", "null"]},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Flaw"}},
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


def refusals(*kinds: Refusal) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may refuse in these ways."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        known = responses.setdefault(problems.status_of(kind), {"description": ""})
        known["description"] = f"{known['description']}\n\n`{kind.code}`: {getdoc(kind)}".strip()
        known["content"] = {problems.MEDIA_TYPE: {"schema": PROBLEM}}
    return responses


class Api(FastAPI):
    """FastAPI with an accurate description of itself."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = self._complete(super().openapi())
        return self.openapi_schema

    def _complete(self, schema: dict[str, Any]) -> dict[str, Any]:
        components = schema["components"]
        components["schemas"] |= SCHEMAS
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        for name in UNUSED_SCHEMAS:
            components["schemas"].pop(name, None)
        for context in iter_route_contexts(self.routes):
            for method in context.methods or ():
                operation = schema["paths"].get(context.path_format, {}).get(method.lower())
                if operation is not None:
                    _describe(operation, is_public=access.is_public(context))
        return schema


def _describe(operation: dict[str, Any], *, is_public: bool) -> None:
    operation["security"] = [] if is_public else [{"token": []}]
    for parameter in operation.get("parameters", ()):
        # To FastAPI it is optional, because we ourselves say (with 400) that it is missing.
        parameter["required"] |= parameter["name"] == "idempotency-key"
    kinds = [*EVERYWHERE, *(() if is_public else GUARDED)]
    if "requestBody" in operation:
        kinds += WITH_BODY
    if "requestBody" in operation or operation.get("parameters"):
        kinds += WITH_PARAMETERS
    if problems.MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
        operation["responses"].pop("422", None)
    for status, response in refusals(*kinds).items():
        own = operation["responses"].get(str(status))
        if own is not None and problems.MEDIA_TYPE not in own.get("content", {}):
            continue  # What this route answers with this status is no problem document.
        if own is not None:
            response["description"] += f"\n\n{own['description']}"
        operation["responses"][str(status)] = response
