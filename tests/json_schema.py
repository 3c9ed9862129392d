"""As much of JSON Schema (2020-12) as our description of the API uses. What it does not know, it refuses to judge."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
FORMATS: Mapping[str, Callable[[str], object]] = {
    "uuid": UUID,
    "date": date.fromisoformat,
    "date-time": lambda value: datetime.fromisoformat(value).utcoffset() or value,
    "uri": lambda value: re.fullmatch(r"[a-z]+:\S+", value) or int(value),
}
LIMITS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "maxProperties": lambda value, limit: len(value) <= limit,
    "uniqueItems": lambda value, limit: not limit or len(set(value)) == len(value),
    "pattern": lambda value, limit: re.search(limit, value) is not None,
    "enum": lambda value, limit: value in limit,
    "const": lambda value, limit: value == limit,
}
STRUCTURE = {
    "$ref",
    "anyOf",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "items",
    "format",
}
WORDS = {"title", "description", "default", "example"}


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolve(self, described: Mapping[str, Any]) -> Mapping[str, Any]:
        """The object itself, or what its `$ref` names."""
        if "$ref" not in described:
            return described
        found: Any = self._document
        for step in described["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        resolved: Mapping[str, Any] = found
        return resolved

    def flaws(self, schema: Mapping[str, Any], value: Any, where: str = "") -> list[str]:
        """Where and how the value is not what the schema says."""
        return list(self._flaws(schema, value, where))

    def _flaws(self, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
        schema = self.resolve(schema)
        unknown = schema.keys() - STRUCTURE - WORDS - LIMITS.keys()
        assert not unknown, f"this checker does not know {unknown}"
        if "anyOf" in schema and all(self.flaws(each, value, where) for each in schema["anyOf"]):
            yield f"{where}: none of the alternatives fits"
        types = schema.get("type", [])
        if types and not any(TYPES[each](value) for each in ([types] if isinstance(types, str) else types)):
            yield f"{where}: no {types}"
            return
        yield from (
            f"{where}: {name}" for name, fits in LIMITS.items() if name in schema and not fits(value, schema[name])
        )
        yield from self._flaws_of_format(schema, value, where)
        if isinstance(value, dict):
            yield from self._flaws_of_members(schema, value, where)
        for number, each in enumerate(value if isinstance(value, list) else ()):
            yield from self._flaws(schema.get("items", {}), each, f"{where}/{number}")

    def _flaws_of_format(self, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
        try:
            if "format" in schema and isinstance(value, str):
                FORMATS[schema["format"]](value)
        except ValueError:
            yield f"{where}: no {schema['format']}"

    def _flaws_of_members(self, schema: Mapping[str, Any], value: Mapping[str, Any], where: str) -> Iterator[str]:
        yield from (f"{where}: lacks {name}" for name in schema.get("required", ()) if name not in value)
        known = schema.get("properties", {})
        # Stricter than the standard: where members are described, all of them have to be.
        others = schema.get("additionalProperties", not known)
        for name, member in value.items():
            if name in known:
                yield from self._flaws(known[name], member, f"{where}/{name}")
            elif others is False:
                yield f"{where}: {name} is not known"
            elif isinstance(others, dict):
                yield from self._flaws(others, member, f"{where}/{name}")
            yield from self._flaws(schema.get("propertyNames", {}), name, f"{where}/{name} (its name)")
