"""A clean broker for each test: what the product declares is removed before."""

import aiormq

from shared.topology import EXCHANGE, UNROUTED

SERVICES = ("users", "payments", "stats", "bookings-gateway", "sample")
TIERS = ("1s", "10s", "1m", "5m", "15m", "100ms", "200ms")


async def sweep(url: str) -> None:
    """Delete every queue and exchange the product or its tests declare."""
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    for service in SERVICES:
        for name in ("events", "bulk", "dead", *(f"retry.{tier}" for tier in TIERS)):
            await channel.queue_delete(f"{service}.{name}")
    await channel.queue_delete(UNROUTED)
    for exchange in (EXCHANGE, UNROUTED):
        await channel.exchange_delete(exchange)
    await connection.close()


async def depth(url: str, queue: str) -> int:
    """Return how many messages are ready in a queue."""
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
    finally:
        await connection.close()
