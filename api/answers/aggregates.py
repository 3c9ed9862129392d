"""How aggregates are answered: as JSON or as a table, and not again to who has them already.

An answer's tag is made of what it says and not of when that was true: `as_of` moves on every few seconds, and an
analyst who asks again wants to know whether the numbers have changed (a weak tag: RFC 9110, section 8.8.1).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response

from api.answers import media_types, sheets
from api.dependencies import Tags
from api.views.aggregates import FreshView

# What is no fact about the shop.
NOT_TAGGED = {"as_of", "lag_seconds"}
TABLE: Mapping[str, Any] = {
    media_types.CSV: {"schema": {"type": "string", "description": "`data` as a table (RFC 4180)"}}
}
RESPONSES: Mapping[int | str, dict[str, Any]] = {304: {"description": "the numbers are those that the caller has"}}
RESPONSES_WITH_TABLE: Mapping[int | str, dict[str, Any]] = {**RESPONSES, 200: {"content": dict(TABLE)}}


def answer(
    request: Request,
    known: Tags,
    view: FreshView,
    columns: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to this request; with `columns`, which its `data` have, as a table where the caller prefers one."""
    as_table = bool(columns) and _wants_table(request)
    tag = _tag(view, as_table=as_table)
    sent = {**(headers or {}), "ETag": tag} | ({"Vary": "Accept"} if columns else {})
    if tag in known:
        return Response(status_code=304, headers=sent)
    if as_table:
        rows = view.model_dump(mode="json")["data"]
        return Response(sheets.header(columns) + sheets.rows(columns, rows), headers=sent, media_type=sheets.MEDIA_TYPE)
    return Response(view.model_dump_json(), headers=sent, media_type=media_types.JSON)


def _wants_table(request: Request) -> bool:
    return media_types.wanted(",".join(request.headers.getlist("accept")), (media_types.CSV,)) == media_types.CSV


def _tag(view: FreshView, *, as_table: bool) -> str:
    facts = f"{as_table} {view.model_dump_json(exclude=NOT_TAGGED)}"
    return f'W/"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'
