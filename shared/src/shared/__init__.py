"""What every service stands on: events, outbox, relay, consumer, topology and the service frame.

Nothing here knows a service or a business rule.
"""
