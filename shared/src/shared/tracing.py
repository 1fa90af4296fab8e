"""W3C trace context, carried from the request through the event log and the broker to every effect.

Spans are exported when ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; the context travels in any case.
https://www.w3.org/TR/trace-context/
"""

import os
import re
import secrets
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_MAX_LINKS = 128
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACEPARENT = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")

tracer = trace.get_tracer("bookings")


def configure(service: str) -> None:
    """Export spans over OTLP/HTTP when an endpoint is configured. Call once, at start."""
    if not os.environ.get(_ENDPOINT):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def span_context(traceparent: str | None) -> SpanContext:
    """Read a ``traceparent``; an absent or malformed one gives an invalid context."""
    carrier = {"traceparent": traceparent} if traceparent else {}
    return trace.get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()


def child_traceparent(parent: str | None) -> str:
    """Return a ``traceparent`` for something caused by ``parent``, else by the current span, else by nothing."""
    if parent and _TRACEPARENT.match(parent):
        return f"{parent[:36]}{secrets.token_hex(8)}{parent[52:]}"
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    fresh = secrets.token_hex(24)
    return f"00-{fresh[:32]}-{fresh[32:]}-01"


def request_span(traceparent: str | None) -> NonRecordingSpan:
    """Return a span context for an incoming request: the caller's trace, or a new one."""
    given = span_context(traceparent)
    return NonRecordingSpan(
        SpanContext(
            trace_id=given.trace_id if given.is_valid else secrets.randbits(128) or 1,
            span_id=secrets.randbits(64) or 1,
            is_remote=False,
            trace_flags=given.trace_flags if given.is_valid else TraceFlags(TraceFlags.SAMPLED),
        )
    )


def links(traceparents: Sequence[str | None]) -> list[Link]:
    """Return links from one group's span to the traces of its events; none while nothing is exported."""
    if not os.environ.get(_ENDPOINT):
        return []
    contexts = (span_context(traceparent) for traceparent in traceparents[:_MAX_LINKS])
    return [Link(context) for context in contexts if context.is_valid]


__all__ = [
    "child_traceparent",
    "configure",
    "links",
    "request_span",
    "set_span_in_context",
    "span_context",
    "tracer",
]
