"""What is counted beside the metrics every service has."""

from prometheus_client import Counter, Histogram

from payments.errors import Reason

DELIVERIES = Counter("stripe_deliveries_total", "Webhook deliveries by what became of them", ["outcome"])
EVENTS = Counter("stripe_events_total", "Stored Stripe events by what became of them", ["outcome"])
DELIVERY_GROUP = Histogram("stripe_delivery_group", "Deliveries in one transaction", buckets=(1, 2, 5, 10, 20, 50, 100))

# Told from the start, at nought: what first appears as one is no increase to whoever watches.
for _outcome in Reason:
    DELIVERIES.labels(_outcome)
