"""Strict JSON: what two parsers could read in two ways, or PostgreSQL cannot store, is not read at all.

UTF-8 without a byte-order mark, no duplicate names, no NaN or Infinity, nesting ≤ 16, integers ≤ 20 digits, and no
control characters or lone surrogates in any string (RFC 7493, I-JSON; SECURITY S30).
"""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from api import problems
from models import errors

F = TypeVar("F", bound=BaseModel)

DEPTH_MAX = 16
INTEGER_DIGITS_MAX = 20
UNREADABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class _Malformed:
    """Stands in for a body that could not be read: no model accepts it, so authentication still has its say first."""


def parse(body: bytes) -> Any:
    """The value a body spells.

    Raises:
        errors.MalformedJson: saying which rule it breaks.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise errors.MalformedJson("The body is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise errors.MalformedJson from None
    if _needs_a_closer_look(body):
        _check(value, depth=1)
    return value


def _needs_a_closer_look(body: bytes) -> bool:
    """Whether there can be a forbidden character or too deep a nesting in it. Usually not: then no value is visited.

    The decoder refuses control characters as they are, so that only escaped ones come through, and DEL.
    """
    return b"\\" in body or b"\x7f" in body or body.count(b"[") + body.count(b"{") > DEPTH_MAX


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise errors.MalformedJson("An object has two members of the same name.")
    return members


def _constant(name: str) -> Any:
    raise errors.MalformedJson("NaN and Infinity are not JSON.")


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_MAX + digits.startswith("-"):
        raise errors.MalformedJson(f"A number has more than {INTEGER_DIGITS_MAX} digits.")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if UNREADABLE.search(value):
            raise errors.MalformedJson("A string contains control characters or lone surrogates.")
    elif isinstance(value, dict | list):
        if depth > DEPTH_MAX:
            raise errors.MalformedJson(f"The body is nested more than {DEPTH_MAX} deep.")
        for name in value if isinstance(value, dict) else ():
            _check(name, depth)
        for member in value.values() if isinstance(value, dict) else value:
            _check(member, depth + 1)


async def read(request: Request, form: type[F]) -> F:
    """The body as a form.

    Raises:
        errors.UnsupportedMediaType, errors.MalformedJson, errors.InvalidRequest
    """
    value = parse(await _json_bytes(request))
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = [each | {"loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise errors.InvalidRequest(flaws=problems.flaws_of(found)) from None


async def _json_bytes(request: Request) -> bytes:
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise errors.UnsupportedMediaType
    return body


class _JsonRequest(Request):
    """A request whose body was parsed strictly, before FastAPI asks for it."""

    async def read(self) -> None:
        try:
            self._value = parse(await _json_bytes(self))
        except (errors.MalformedJson, errors.UnsupportedMediaType) as error:
            self.state.malformed = error
            self._value = _Malformed()

    async def json(self) -> Any:
        return self._value


class JsonRoute(APIRoute):
    """A route whose body, if it has one, is read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_and_handle(request: Request) -> Response:
            strict = _JsonRequest(request.scope, request.receive)
            await strict.read()
            return await handle(strict)

        return read_and_handle
