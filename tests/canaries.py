"""Canaries: a word that only we know, put wherever a client may put something, in requests of every sort (S39).

`ways` makes them up for any operation of the OpenAPI; `sighted` says where the word, or any other secret, was seen.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis
from openapi_client import Operation
from sample_requests import SampleRequest
from world import World

from models import tables

WORD = "kanarienvogel4711"
# Wherever a header could be believed, kept or repeated. A well-formed X-Request-ID would rightly be logged.
HEADERS = {
    "Accept": WORD,
    "Cookie": f"session={WORD}",
    "Forwarded": f"for={WORD}",
    "Idempotency-Key": WORD,
    "If-Match": f'"{WORD}"',
    "If-None-Match": f'"{WORD}"',
    "Last-Event-ID": WORD,
    "Origin": f"https://{WORD}.example",
    "Prefer": WORD,
    "Referer": f"https://{WORD}.example/{WORD}",
    "Traceparent": f"00-{WORD}-01",
    "User-Agent": WORD,
    "X-Forwarded-For": WORD,
    "X-Request-ID": f"{WORD}!!",
    f"X-{WORD}": WORD,
}
BASIC = base64.b64encode(f"{WORD}:{WORD}".encode()).decode()
AUTHORIZATIONS = (
    WORD,
    f"Bearer {WORD}",
    f"Bearer {WORD}.{WORD}.{WORD}",
    f"Basic {BASIC}",
    f'Digest username="{WORD}"',
)
CONTENT_TYPES = ("text/plain", f"application/{WORD}", f"multipart/form-data; boundary={WORD}")
JSON = "application/json"
BODY_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class Attempt:
    """A request as bytes, and all of its headers but those that the client adds by itself."""

    method: str
    target: str
    content: bytes | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, sample: SampleRequest, **headers: str) -> "Attempt":
        content = None if sample.body is None else json.dumps(sample.body).encode()
        is_json = {} if content is None else {"Content-Type": JSON}
        return cls(sample.method, sample.path, content, {**sample.headers, **is_json, **headers})

    def with_headers(self, **headers: str) -> "Attempt":
        return replace(self, headers={**self.headers, **headers})


def ways(operation: Operation, sample: SampleRequest, authorization: str) -> Iterator[Attempt]:
    """Ways to ask for this that fail, or should."""
    plain = Attempt.of(sample, Authorization=authorization)
    yield Attempt.of(sample, **HEADERS, Authorization=authorization)
    for each in AUTHORIZATIONS:
        yield Attempt.of(sample, Authorization=each)
    for query in (*operation.parameters("query"), "unknown", WORD):
        target = f"{sample.path.partition('?')[0]}?{query}={WORD}"
        yield Attempt(plain.method, target, plain.content, plain.headers)
    in_path = operation.parameters("path")
    if in_path:
        target = operation.path.format(**dict.fromkeys(in_path, WORD))
        yield Attempt(plain.method, target, plain.content, plain.headers)
    yield Attempt("DELETE", plain.target, plain.content, plain.headers)
    if sample.body is not None:
        for content in bodies(sample.body):
            yield Attempt(plain.method, plain.target, content, plain.headers)
        for content_type in CONTENT_TYPES:
            yield Attempt(plain.method, plain.target, plain.content, {**plain.headers, "Content-Type": content_type})


def bodies(good: Mapping[str, object]) -> Iterator[bytes]:
    """What is no JSON, too much, or not what the form asks for, in every member in turn."""
    spelled = json.dumps(good).encode()
    word = f'"{WORD}"'.encode()
    yield from (WORD.encode(), word, b"[" + word + b"]", b"{" + word + b":" + word, spelled[:-1], spelled + word)
    yield from (spelled[:-1] + b"," + word + b":NaN}", b'{"' + WORD.encode() * (BODY_BYTES_MAX // len(WORD)) + b'":1}')
    for surplus in ({"surplus": WORD}, {f"<{WORD}>": WORD}):
        yield json.dumps({**good, **surplus}).encode()
    for name in good:
        for wrong in (WORD, [WORD], {"nested": WORD}, [{"sku": WORD, "quantity": WORD}], WORD * 100, f"{WORD}\0"):
            yield json.dumps({**good, name: wrong}).encode()


def on_the_broker(url: str) -> str:
    """All that the broker holds, with the bodies of messages as the worker reads them."""
    with redis.Redis.from_url(url) as broker:
        keys = sorted(broker.scan_iter("*"))
        held = {key: _held(broker, key) for key in keys}
    return "\n".join(f"{key!r}: {value}" for key, values in held.items() for value in values)


def _held(broker: Any, key: bytes) -> Iterable[str]:  # its stubs know no bytes
    kind = broker.type(key)
    if kind == b"list":
        return [_message(each) for each in broker.lrange(key, 0, -1)]
    if kind == b"hash":
        return [f"{name!r}: {_message(each)}" for name, each in broker.hgetall(key).items()]
    if kind == b"set":
        return [repr(each) for each in broker.smembers(key)]
    if kind == b"zset":
        return [repr(each) for each in broker.zrange(key, 0, -1)]
    return [repr(broker.get(key))]


def _message(held: bytes) -> str:
    """A message of kombu's, with its body, which is sent in base 64."""
    try:
        message = json.loads(held)
        return held.decode() + base64.b64decode(message["body"]).decode()
    except (ValueError, KeyError, TypeError):
        return repr(held)


def in_tables(world: World) -> dict[str, str]:
    """All that PostgreSQL holds, by table and column, in one spelling; bytes also as the text that they may be."""
    columns = [(table.name, column) for table in tables.metadata.sorted_tables for column in table.columns]
    return {f"{table}.{column.name}": _spelled(world, table, column.name) for table, column in columns}


def _spelled(world: World, table: str, column: str) -> str:
    rows = world.sql(f'SELECT "{column}" FROM {table}')
    return "\n".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for (value,) in rows)


def sighted(needles: Iterable[str], haystacks: Mapping[str, str]) -> dict[str, str]:
    """The haystacks in which any of the needles is, in capitals or not, and the surroundings of the first."""
    found = {}
    wanted = [needle.lower() for needle in needles]
    for name, haystack in haystacks.items():
        searched = haystack.lower()
        places = [place for needle in wanted if (place := searched.find(needle)) >= 0]
        if places:
            found[name] = haystack[max(min(places) - 300, 0) : min(places) + 100]
    return found
