"""Prometheus metrics every service has. One process is one service, so the default registry serves."""

from prometheus_client import Counter, Gauge, Histogram

_FINE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

RELAYED = Counter("outbox_relayed_events_total", "Events confirmed by the broker")
RELAY_SECONDS = Histogram("outbox_publish_seconds", "One page, publish to last confirm", buckets=_FINE)
OUTBOX_ROWS = Gauge("outbox_rows", "Events not yet confirmed by the broker")
OUTBOX_AGE = Gauge("outbox_oldest_age_seconds", "Age of the oldest event not yet confirmed")

CONSUMED = Counter("consumed_events_total", "Events by what became of them", ["queue", "outcome"])
GROUP_EVENTS = Histogram("consumer_group_events", "Events in one transaction", buckets=(1, 5, 20, 50, 100, 250, 500))
GROUP_SECONDS = Histogram("consumer_group_seconds", "One transaction", buckets=_FINE)

QUEUE_DEPTH = Gauge("queue_depth", "Messages ready in a queue of this service", ["queue"])
UNROUTED = Gauge("unrouted_messages", "Events no queue took: a binding is missing")
DEAD_LETTERS = Gauge("dead_letters_open", "Events waiting for an operator")
FENCE_AGE = Gauge("fence_age_seconds", "Age of the oldest writing transaction: what a replay has to wait for")

HTTP_SECONDS = Histogram("http_request_seconds", "Requests", ["method", "route", "status"], buckets=_FINE)
