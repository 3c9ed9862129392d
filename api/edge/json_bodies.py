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
from starlette.datastructures import Headers

from api import malformed, problems
from models import errors

F = TypeVar("F", bound=BaseModel)

DEPTH_MAX = 16
INTEGER_DIGITS_MAX = 20
UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What has to be in a body in which one of those can be: see `_needs_a_closer_look`.
SUSPICIOUS = (b"\\", b"\x7f", b"\xc2")
CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)

# Stands in for a body that could not be read, so that authentication still has its say first: no form is a sequence.
# (Of an object of ours pydantic would read attributes, find none, and fill in the defaults of a form that has them.)
_MALFORMED = ()


def parse(body: bytes) -> Any:
    """The value a body spells.

    Raises:
        malformed.MalformedJson: saying which rule it breaks.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise malformed.MalformedJson("The body is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise malformed.MalformedJson from None
    if _needs_a_closer_look(body):
        _check(value, depth=1)
    return value


def _needs_a_closer_look(body: bytes) -> bool:
    """Whether there can be a forbidden character or too deep a nesting in it. Usually not: then no value is visited.

    The decoder refuses the first 32 characters as they are, so that only escaped ones come through, and DEL and the 32
    behind it, which begin with 0xC2 in UTF-8.
    """
    return any(each in body for each in SUSPICIOUS) or body.count(b"[") + body.count(b"{") > DEPTH_MAX


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise malformed.MalformedJson("An object has two members of the same name.")
    return members


def _constant(name: str) -> Any:
    raise malformed.MalformedJson("NaN and Infinity are not JSON.")


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_MAX + digits.startswith("-"):
        raise malformed.MalformedJson(f"A number has more than {INTEGER_DIGITS_MAX} digits.")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if UNREADABLE.search(value):
            raise malformed.MalformedJson("A string contains control characters or lone surrogates.")
    elif isinstance(value, dict | list):
        if depth > DEPTH_MAX:
            raise malformed.MalformedJson(f"The body is nested more than {DEPTH_MAX} deep.")
        for name in value if isinstance(value, dict) else ():
            _check(name, depth)
        for member in value.values() if isinstance(value, dict) else value:
            _check(member, depth + 1)


async def read(request: Request, form: type[F]) -> F:
    """The body as a form.

    Raises:
        malformed.UnsupportedMediaType, malformed.MalformedJson, errors.InvalidRequest
    """
    value = parse(await _json_bytes(request))
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = [each | {"loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise errors.InvalidRequest(flaws=problems.flaws_of(found)) from None


async def _json_bytes(request: Request) -> bytes:
    body = await request.body()
    if not _declares_json(request.headers):
        raise malformed.UnsupportedMediaType
    return body


def _declares_json(headers: Headers) -> bool:
    """Whether the body is declared as JSON in UTF-8, once, and as it is (RFC 8259, sections 8.1 and 11)."""
    declared = headers.getlist("content-type")
    if len(declared) != 1 or "content-encoding" in headers:
        return False
    charset = CHARSET.search(declared[0])
    is_utf8 = charset is None or charset[1].lower() == "utf-8"
    return is_utf8 and declared[0].partition(";")[0].strip().lower() == "application/json"


class _JsonRequest(Request):
    """A request whose body was parsed strictly, before FastAPI asks for it."""

    async def read(self) -> None:
        try:
            self._value = parse(await _json_bytes(self))
        except (malformed.MalformedJson, malformed.UnsupportedMediaType) as error:
            self.state.malformed = error
            self._value = _MALFORMED

    async def json(self) -> Any:
        return self._value


class JsonRoute(APIRoute):
    """A route whose body, if it has one, is read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        is_required = self.body_field.field_info.is_required()

        async def read_and_handle(request: Request) -> Response:
            strict = _JsonRequest(request.scope, request.receive)
            if is_required or await strict.body():
                await strict.read()
            return await handle(strict)

        return read_and_handle
