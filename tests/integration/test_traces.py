"""One trace leads from a request, through its outbox rows, to the batches that do the work, and to their statements."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem
from api_server import serving
from at_once import at_once
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from running_system import eventually
from world import World

from api.app import create_app
from runtime import shutdown, spans, tracing
from runtime.spans import OpenTelemetrySpans
from workers.app import app
from workers.relay import batches_of

WAY = ["orders.confirm", "orders.process", "orders.ship", "orders.deliver"]
CLIENTS = ("00-" + "a1" * 16 + "-" + "b2" * 8 + "-01", "00-" + "c3" * 16 + "-" + "d4" * 8 + "-01")


class Traces:
    """What was traced."""

    def __init__(self, memory: InMemorySpanExporter) -> None:
        self._memory = memory

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._memory.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def request(self, name: str = "POST /v1/orders") -> ReadableSpan:
        """The span of the one request of that name, which ends a moment after its answer."""
        eventually(lambda: self.named(name), name)
        [span] = self.named(name)
        return span

    def parts_of(self, span: ReadableSpan) -> list[ReadableSpan]:
        return [each for each in self.spans if each.parent and each.parent.span_id == id_of(span)]

    def told(self, span: ReadableSpan, depth: int = 0) -> Iterator[str]:
        """The span and what is part of it, a line each, for people."""
        milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
        statement = " ".join(str(facts(span).get("db.query.text", "")).split())[:60]
        yield f"{milliseconds:8.2f} ms  {'    ' * depth}{span.name}  {statement}".rstrip()
        for part in self.parts_of(span):
            yield from self.told(part, depth + 1)


def id_of(span: ReadableSpan) -> int:
    assert span.context
    return int(span.context.span_id)


def trace_of(span: ReadableSpan) -> int:
    assert span.context
    return int(span.context.trace_id)


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


@pytest.fixture
def traces() -> Iterator[Traces]:
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    using = OpenTelemetrySpans(provider)
    tracing.use(using)
    yield Traces(memory)
    tracing.use(None)
    using.close()


def dispatch(shop: Shop) -> None:
    """What is due, as the relay would send it: the very messages, without a broker."""
    for batch in batches_of(shop.world.due()):
        deliver(batch.kind, batch.ids, request_ids=list(batch.request_ids), traceparents=list(batch.traceparents))


def deliver(kind: str, ids: Sequence[int], **headers: object) -> None:
    task: Any = app.tasks[kind]  # the stubs do not know that headers may be lists
    task.apply(args=[list(ids)], headers=headers).get()


def test_one_trace_leads_from_the_request_to_the_last_statement(
    shop: Shop, as_customer: Client, traces: Traces
) -> None:
    """`make test ARGS="-n 0 -rP tests/integration/test_traces.py -k last_statement"` prints the trace."""
    answer = as_customer.order()
    request = traces.request()
    assert facts(request)["http.response.status_code"] == 201
    assert facts(request)["orders.request_id"] == answer.headers["X-Request-ID"]
    [row] = shop.world.due()
    assert (row.traceparent or "").startswith(f"00-{trace_of(request):032x}-{id_of(request):016x}-")

    while shop.world.due():
        dispatch(shop)
    assert shop.world.journey(answer.json()["id"])[-1] == "delivered"
    parts = traces.parts_of(request)
    assert [part.name for part in parts] == ["accept orders", *WAY]
    assert {trace_of(span) for span in traces.spans} == {trace_of(request)}
    for part in parts:
        statements = traces.parts_of(part)
        assert statements, part.name
        assert all(facts(each)["db.system.name"] == "postgresql" for each in statements)
    assert any("INSERT INTO outbox" in str(facts(each)["db.query.text"]) for each in traces.parts_of(parts[0]))
    sys.stdout.write("\n".join(traces.told(request)) + "\n")


def test_a_batch_of_several_orders_has_links_to_the_requests_of_all(
    shop: Shop, as_customer: Client, traces: Traces
) -> None:
    for traceparent in CLIENTS:
        as_customer.headers["traceparent"] = traceparent
        as_customer.order()
    eventually(lambda: len(traces.named("POST /v1/orders")) == 2, "two requests")
    requests = traces.named("POST /v1/orders")
    assert {f"{trace_of(request):032x}" for request in requests} == {each.split("-")[1] for each in CLIENTS}
    dispatch(shop)
    [batch] = traces.named("orders.confirm")
    assert batch.parent is None
    assert {link.context.span_id for link in batch.links} == {id_of(request) for request in requests}
    assert facts(batch)["messaging.batch.message_count"] == 2
    assert {trace_of(part) for part in traces.parts_of(batch)} == {trace_of(batch)}


def test_a_batch_in_which_one_order_is_of_no_trace_is_part_of_none(
    shop: Shop, as_customer: Client, traces: Traces
) -> None:
    as_customer.order()
    request = traces.request()
    shop.world.place(shop.world.user(), {"BOWL": 1})
    assert sorted(bool(row.traceparent) for row in shop.world.due()) == [False, True]
    dispatch(shop)
    [batch] = traces.named("orders.confirm")
    assert batch.parent is None
    assert [link.context.span_id for link in batch.links] == [id_of(request)]


def test_orders_that_are_written_together_are_one_batch_with_links(
    shop: Shop, as_customer: Client, traces: Traces
) -> None:
    at_once(*[as_customer.order] * 20)
    eventually(lambda: len(traces.named("POST /v1/orders")) == 20, "twenty requests")
    batches = traces.named("accept orders")
    assert sum(int(str(facts(batch)["messaging.batch.message_count"])) for batch in batches) == 20
    for batch in batches:
        parents = {link.context.span_id for link in batch.links} or {batch.parent.span_id if batch.parent else 0}
        assert len(parents) == facts(batch)["messaging.batch.message_count"]
        assert parents <= {id_of(request) for request in traces.named("POST /v1/orders")}


def test_s39_a_span_has_neither_values_nor_messages_of_errors(shop: Shop, as_customer: Client, traces: Traces) -> None:
    as_customer.order(client_reference="canary-reference", metadata={"note": "canary-note"})
    dispatch(shop)
    shop.world.sql("ALTER TABLE products ADD CONSTRAINT canary CHECK (reserved <= 1)")
    try:
        as_customer.order()
        dispatch(shop)
    finally:
        shop.world.sql("ALTER TABLE products DROP CONSTRAINT canary")
    as_customer.post("/v1/auth/login", json={"email": as_customer.user.email, "password": "canary-password"})
    assert_problem(as_customer.get("/v1/orders/canary"), 404)
    traces.request("GET /v1/orders/{order_id}")
    failed = [span for span in traces.spans if "error.type" in facts(span)]
    assert {facts(span)["error.type"] for span in failed} == {"23514"}
    told = "\n".join(span.to_json() for span in traces.spans)
    for secret in ("canary", str(as_customer.user.email), as_customer.headers["Authorization"]):
        assert secret not in told


def test_s39_of_an_error_that_ends_a_batch_its_span_has_the_kind_alone(traces: Traces) -> None:
    with pytest.raises(ValueError, match="canary"), tracing.batch("some batch", [CLIENTS[0]], 1):
        raise ValueError("canary")
    [span] = traces.named("some batch")
    assert facts(span)["error.type"] == "ValueError"
    assert "canary" not in span.to_json()


def test_what_machines_ask_all_day_is_no_trace(anonymous: Client, traces: Traces) -> None:
    for path in ("/health/liveness", "/health/readiness", "/metrics"):
        anonymous.get(path)
    anonymous.get("/docs")
    traces.request("GET /docs")
    assert [span.name for span in traces.spans] == ["GET /docs"]


JUNK = (["not a traceparent"], ["00-0-0-00", CLIENTS[0]], [1, 2], "canary", {"a": 1})


def test_a_message_with_junk_for_traceparents_does_its_work(shop: Shop, as_customer: Client, traces: Traces) -> None:
    for junk in JUNK:
        order = as_customer.order().json()
        [row] = [each for each in shop.world.due() if each.kind == "orders.confirm"]
        deliver(row.kind, [row.id], traceparents=junk)
        assert shop.world.journey(order["id"]) == ["pending", "confirmed"]


def test_without_traces_a_clients_traceparent_goes_along_as_it_is(shop: Shop, as_customer: Client) -> None:
    as_customer.headers["traceparent"] = CLIENTS[0]
    as_customer.order()
    assert [row.traceparent for row in shop.world.due()] == [CLIENTS[0]]


OFF = """
import sys
import api.app, workers.app, workers.batches
# Redis' client imports the rest of the SDK where it finds it.
assert not {"runtime.spans", "opentelemetry.sdk.trace", "opentelemetry.exporter"} & set(sys.modules)
from runtime import settings, tracing
sys.modules["opentelemetry.sdk.trace"] = None  # as where the extra is not installed
given = {"ENVIRONMENT": "local", "DATABASE_URL": "postgresql:///x", "BROKER_URL": "redis://x", "SECRET_KEY": "s" * 32}
tracing.configure("tests", settings.read(given))
assert not tracing.is_on()
try:
    tracing.configure("tests", settings.read({**given, "TRACES_URL": "http://collector:4318/v1/traces"}))
except settings.SettingsError as error:
    print(error)
"""


def test_off_nothing_of_it_is_even_imported_and_without_the_extra_the_setting_says_what_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "TRACES_URL needs what order-pipeline[tracing] installs"


def test_spans_are_sent_to_a_collector() -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        using = spans.exporting("orders-tests", f"http://127.0.0.1:{server.server_port}/v1/traces")
        using.request("GET", None).end("/v1/things", 200, "req_1")
        using.flush()
        using.close()
        server.shutdown()
    assert b"orders-tests" in received[0] and b"GET /v1/things" in received[0]


def test_what_an_api_did_last_is_sent_when_it_ends(world: World) -> None:
    """Spans are sent every few seconds, and its last ones would be left."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(memory, schedule_delay_millis=600_000))
    using = OpenTelemetrySpans(provider)
    tracing.use(using)
    try:
        with serving(create_app()) as server, Client(server.url, None, None) as client:
            client.get("/v1/products")
            assert not memory.get_finished_spans()
        assert [span.name for span in Traces(memory).spans if span.parent is None] == ["GET /v1/products"]
    finally:
        tracing.use(None)
        using.close()


LAST_SPANS = """
import sys
from runtime import logs, spans
logs.configure("tests", "WARNING", "json")
using = spans.exporting("orders-tests", sys.argv[1])
using.request("GET", None).end("/v1/things", 200, "req_1")
using.flush()
"""


def test_a_collector_that_takes_nothing_holds_up_no_end() -> None:
    """To the SDK it is worth 10 s, and 30 s at exit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        began = time.monotonic()
        command = [sys.executable, "-c", LAST_SPANS, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.monotonic() - began < shutdown.FLUSH_SECONDS + 6
    assert "the collector does not take the last spans; they are lost" in done.stderr
