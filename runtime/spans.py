"""Spans on OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where traces are asked for.

Names and attributes follow OpenTelemetry's semantic conventions. There are statements in them as they stand in the
code, and never what they were given: no value, no message of an error, nobody's address (SECURITY S39).
"""

import atexit
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from runtime import logs, shutdown

log = logs.get(__name__)

STATEMENT_CHARACTERS_MAX = 8_000
SERVER_ERROR = 500


class RequestSpan:
    """The span of a request is the current one until it ends: statements of its task are parts of it."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method
        self._token = context.attach(trace.set_span_in_context(span))
        self.traceparent = _spelled(span.get_span_context())
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def end(self, route: str, status: int | None, request_id: str) -> None:
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes({"http.route": route, "orders.request_id": request_id})
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= SERVER_ERROR:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


class OpenTelemetrySpans:
    """What `runtime/tracing.py` asks for, with any provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("orders")
        self._listeners: Mapping[str, Any] = {
            "before_cursor_execute": self._begin_statement,
            "after_cursor_execute": _end_statement,
            "handle_error": _fail_statement,
        }
        for name, listener in self._listeners.items():
            event.listen(Engine, name, listener)

    def request(self, method: str, traceparent: str | None) -> RequestSpan:
        caller = _around(_parsed(traceparent)) if traceparent else Context()
        attributes = {"http.request.method": method}
        return RequestSpan(self._tracer.start_span(method, caller, SpanKind.SERVER, attributes), method)

    @contextmanager
    def batch(self, name: str, parent: str | None, links: Collection[str], rows: int) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            _around(_parsed(parent)) if parent else Context(),
            SpanKind.CONSUMER,
            {"messaging.batch.message_count": rows},
            [Link(_parsed(each)) for each in links],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _note(span, error)
                raise

    def flush(self) -> None:
        """Send what is finished, in a thread that may be left behind: what the SDK is told to keep to, as a time, it
        does not keep to (open-telemetry/opentelemetry-python#4568)."""
        sending = threading.Thread(target=self._provider.force_flush, name="last spans", daemon=True)
        sending.start()
        sending.join(shutdown.FLUSH_SECONDS)
        if sending.is_alive():
            atexit.unregister(self._provider.shutdown)  # The SDK's own, which would wait for up to 30 s more.
            log.warning("the collector does not take the last spans; they are lost")

    def close(self) -> None:
        for name, listener in self._listeners.items():
            event.remove(Engine, name, listener)
        self._provider.shutdown()

    def _begin_statement(
        self, _connection: Any, _cursor: Any, statement: str, _given: Any, execution: Any, _many: Any
    ) -> None:
        """What nobody asked for, such as the relay's polling, is no trace."""
        if execution is not None and trace.get_current_span().get_span_context().is_valid:
            plain = " ".join(statement.split())
            attributes = {"db.system.name": "postgresql", "db.query.text": plain[:STATEMENT_CHARACTERS_MAX]}
            name = plain.partition(" ")[0].upper()
            execution.orders_span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)


def exporting(service: str, url: str) -> OpenTelemetrySpans:
    """Spans that are sent to a collector, from a thread of their own; what it does not take is dropped."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return OpenTelemetrySpans(provider)


def _end_statement(_connection: Any, _cursor: Any, _statement: str, _given: Any, execution: Any, _: Any) -> None:
    span = _span_of(execution)
    if span is not None:
        span.end()


def _fail_statement(failure: ExceptionContext) -> None:
    span = _span_of(failure.execution_context)
    if span is not None:
        _note(span, failure.original_exception)
        span.end()


def _span_of(execution: Any) -> Span | None:
    span: Span | None = getattr(execution, "orders_span", None)
    return span


def _note(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", getattr(error, "sqlstate", None) or type(error).__name__)
    span.set_status(StatusCode.ERROR)


def _around(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _parsed(traceparent: str) -> SpanContext:
    """W3C Trace Context, section 3.2; whoever takes one over has looked at its form."""
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _spelled(span: SpanContext) -> str:
    flags = int(span.trace_flags)
    return f"00-{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}-{flags:02x}"
