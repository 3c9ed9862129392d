"""One row's trace claimed a batch whose other rows were of none (review of 25 November 2026).

Rows without a traceparent were dropped, by the relay and again by the worker, before anybody counted how many traces a
batch is of. Of a hundred orders, one that came with a `traceparent` had the work on all of them in its trace.
"""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from models.outbox import Due
from runtime import tracing
from runtime.spans import OpenTelemetrySpans
from workers.relay import Batch

ONE, OTHER = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01", "00-" + "c3" * 16 + "-" + "d4" * 8 + "-01"


@pytest.fixture
def memory() -> Iterator[InMemorySpanExporter]:
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    using = OpenTelemetrySpans(provider)
    tracing.use(using)
    yield memory
    tracing.use(None)
    using.close()


def spelled(span: ReadableSpan) -> tuple[str | None, list[str]]:
    """Which span it is a part of, and to which it has links."""
    parent = f"{span.parent.span_id:016x}" if span.parent else None
    return parent, [f"{link.context.span_id:016x}" for link in span.links]


@pytest.mark.parametrize(
    ("rows", "parent", "links"),
    [
        ([ONE], "b2" * 8, []),
        ([ONE, ONE], "b2" * 8, []),
        ([ONE, None], None, ["b2" * 8]),
        ([None, ONE, ONE], None, ["b2" * 8]),
        ([ONE, "not a traceparent"], None, ["b2" * 8]),
        ([ONE, OTHER], None, ["b2" * 8, "d4" * 8]),
        ([None, None], None, []),
    ],
)
def test_a_batch_is_part_of_a_trace_only_if_all_of_its_rows_are(
    memory: InMemorySpanExporter, rows: list[str | None], parent: str | None, links: list[str]
) -> None:
    due = [Due(number, "orders.confirm", 0, None, traceparent) for number, traceparent in enumerate(rows)]
    for traceparents in (rows, Batch.of("orders.confirm", due).traceparents):  # in the acceptor; and in a worker
        with tracing.batch("orders.confirm", traceparents, len(rows)):
            pass
    assert [spelled(span) for span in memory.get_finished_spans()] == [(parent, links)] * 2


def test_a_message_about_no_trace_names_none() -> None:
    assert Batch.of("rollups.fold", [Due(1, "rollups.fold", 0)]).traceparents == ()
