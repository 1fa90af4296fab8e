"""A cheap client in a process of its own: keep-alive connections that post prepared, signed requests one after another.

``python -m benchmarks.webhook_client PORT CONNECTIONS REQUESTS``: prints seconds and sorted latencies as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import cast
from uuid import uuid4

import uvloop

from payments.api import PATH
from support import stripe_payloads as stripe

_ACCEPTED = b'{"received":true}'
_METADATA = {f"note_{number}": "x" * 24 for number in range(8)}


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last has come."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._done = done
        self._sent = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self._done.set_result(None)
            return
        self._sent = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(_ACCEPTED):  # head and body may come apart
            if not self._answer.startswith(b"HTTP/1.1 200"):
                self._done.set_exception(AssertionError(self._answer[:500]))
            return
        self._answer = b""
        self._latencies.append(perf_counter() - self._sent)
        self._send()


def prepared(port: int, count: int) -> list[bytes]:
    """Return whole HTTP requests, each a payment of its own of about 1,350 bytes."""
    run = uuid4().hex[:8]
    return [_request(port, f"{run}_{number}") for number in range(count)]


def _request(port: int, name: str) -> bytes:
    intent = stripe.payment_intent(
        f"pi_{name}", latest_charge=f"ch_{name}", metadata={**_METADATA, "bookingId": f"b_{name}"}
    )
    signed = stripe.sign(stripe.event("payment_intent.succeeded", intent))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(signed.body)}\r\nStripe-Signature: {signed.signature}\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n\r\n"
    )
    return head.encode() + signed.body


async def main() -> None:
    """Send everything and print what it took."""
    port, connections, count = (int(argument) for argument in sys.argv[1:4])
    requests = iter(prepared(port, count))
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    started = perf_counter()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: Connection(requests, latencies, end), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    print(json.dumps({"seconds": perf_counter() - started, "latencies": sorted(latencies)}))


uvloop.run(main())
