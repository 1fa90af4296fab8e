"""Stripe's API as far as reconciliation and refunds need it, with Stripe's own semantics, on loopback.

Newest first; ``starting_after`` walks to older, ``ending_before`` to newer, both ≤ 100 a page with ``has_more``; events
older than 30 days are gone; lists filter by an object's creation. Faults are queued and met by the next calls.
https://docs.stripe.com/api/pagination, …/api/events/list, …/api/refunds/create, …/api/idempotent_requests
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local_stack.ports import free_port
from support import stripe_payloads as stripe
from support.stripe_payloads import Json

KEY = "sk_test_" + "0" * 24
DAY = 86_400
_KEPT_SECONDS = 30 * DAY
_KINDS = {
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "checkout/sessions": "checkout.session",
}
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "created": int.__eq__,
    "created[gt]": int.__gt__,
    "created[gte]": int.__ge__,
    "created[lt]": int.__lt__,
    "created[lte]": int.__le__,
}
_FIELDS = ("charge", "payment_intent", "customer", "status")


class StripeError(Exception):
    """An answer of the API that is no success."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, type_: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "type": type_}}


@dataclass
class FakeStripe:
    """What the account holds. ``clock`` is its present; ``calls`` what was asked, ``made`` refunds by idempotency key.

    ``faults`` are met one per call: a status (429, 500 …), ``"hang"`` (nothing happens, no answer) or ``"lost"`` (it
    happens, the answer is lost). ``page_hook`` runs before each list, to let things happen while somebody walks.
    """

    port: int
    clock: Callable[[], float] = time.time
    events: list[Json] = field(default_factory=list)
    objects: dict[str, Json] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    faults: deque[int | str] = field(default_factory=deque)
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    made: dict[str, tuple[str, Json]] = field(default_factory=dict)
    page_hook: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def holds(self, *items: Json) -> None:
        """Let objects exist, or change, without any event of it."""
        for item in items:
            self.objects[item["id"]] = item

    def announces(self, *events: Json) -> None:
        """Let events have happened: each is listed and its object is as the newest one shows it."""
        for event in events:
            self.events.append(event)
            self.holds(event["data"]["object"])

    # --- what the API does -------------------------------------------------------------------------------------

    def list_events(self, query: Sequence[tuple[str, str]]) -> Json:
        types = [value for name, value in query if name.startswith("types[")]
        asked = dict(query)
        if len(types) > 20 or (types and "type" in asked):
            raise StripeError(400, "types holds at most 20 and excludes type")
        horizon = self.clock() - _KEPT_SECONDS
        wanted = [
            event
            for event in self.events
            if event["created"] >= horizon
            and (not types or event["type"] in types)
            and asked.get("type") in (None, event["type"])
            and asked.get("delivery_success") in (None, "true" if event["id"] not in self.pending else "false")
        ]
        return self._page("/v1/events", wanted, asked)

    def list_objects(self, path: str, query: Sequence[tuple[str, str]]) -> Json:
        asked = dict(query)
        wanted = [
            item
            for item in self.objects.values()
            if item["object"] == _KINDS[path]
            and all(item.get(name) == asked[name] for name in _FIELDS if name in asked)
        ]
        return self._page(f"/v1/{path}", wanted, asked)

    def _page(self, url: str, items: Sequence[Json], asked: Mapping[str, str]) -> Json:
        limit = int(asked.get("limit", 10))
        if not 1 <= limit <= 100:
            raise StripeError(400, "limit is between 1 and 100")
        tests = [(_COMPARE[name], int(value)) for name, value in asked.items() if name in _COMPARE]
        arrived = {item["id"]: position for position, item in enumerate(items)}
        newest_first = sorted(items, key=lambda item: (item["created"], arrived[item["id"]]), reverse=True)
        found = [item for item in newest_first if all(test(item["created"], value) for test, value in tests)]
        if "starting_after" in asked:
            found = found[self._position(newest_first, found, asked["starting_after"], after=True) :]
            page = found[:limit]
        elif "ending_before" in asked:
            found = found[: self._position(newest_first, found, asked["ending_before"], after=False)]
            page = found[-limit:]
        else:
            page = found[:limit]
        return {"object": "list", "url": url, "has_more": len(found) > len(page), "data": page}

    def _position(self, everything: Sequence[Json], found: Sequence[Json], cursor: str, *, after: bool) -> int:
        order = [item["id"] for item in everything]
        if cursor not in order:
            raise StripeError(400, f"No such object: '{cursor}'", code="resource_missing")
        ahead = set(order[: order.index(cursor) + after])
        return sum(item["id"] in ahead for item in found)

    def get_object(self, kind: str, id_: str) -> Json:
        item = self.objects.get(id_)
        if item is None or item["object"] != kind:
            raise StripeError(404, f"No such {kind}: '{id_}'", code="resource_missing")
        return item

    def create_refund(self, params: Mapping[str, str], key: str | None) -> Json:
        asked = json.dumps(params, sort_keys=True)
        if key and key in self.made:
            before, refund = self.made[key]
            if before != asked:
                raise StripeError(400, "Keys for idempotent requests …", type_="idempotency_error")
            return refund
        refund = self._new_refund(params)
        if key:
            self.made[key] = (asked, refund)
        return refund

    def _new_refund(self, params: Mapping[str, str]) -> Json:
        charge = self._charge_of(params)
        amount = int(params.get("amount", charge["amount_captured"] - charge["amount_refunded"]))
        if amount > charge["amount_captured"] - charge["amount_refunded"]:
            raise StripeError(400, "Refund amount is greater than unrefunded amount on charge")
        now = int(self.clock())
        metadata = {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}
        number = sum(item["object"] == "refund" for item in self.objects.values()) + 1
        refund = stripe.refund(
            f"re_made_{number}",
            amount=amount,
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            currency=charge["currency"],
            created=now,
            reason=params.get("reason"),
            metadata=metadata,
        )
        refunded = {**charge, "amount_refunded": charge["amount_refunded"] + amount}
        self.announces(
            stripe.event("refund.created", refund, created=now), stripe.event("charge.refunded", refunded, created=now)
        )
        return refund

    def _charge_of(self, params: Mapping[str, str]) -> Json:
        for item in self.objects.values():
            named = item["id"] == params.get("charge") or item.get("payment_intent") == params.get("payment_intent")
            if item["object"] == "charge" and item["captured"] and named:
                return item
        raise StripeError(404, "No such charge", code="resource_missing")

    # --- how it is asked ---------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/v1/")
        query = parse_qsl(request.url.query, keep_blank_values=True)
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        self.calls.append((request.method, path, {**dict(query), **form}))
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, int):
            body = {"error": {"message": "not now", "type": "api_error"}}
            return _json(fault, body, {"Retry-After": "0"} if fault == 429 else {})
        if fault == "hang":
            return await _never(request)
        if not request.headers.get("authorization", "").startswith(("Bearer sk_", "Bearer rk_")):
            return _json(401, StripeError(401, "You did not provide an API key.").body)
        try:
            body = self._do(request.method, path, query, form, request.headers.get("idempotency-key"))
        except StripeError as error:
            return _json(error.status, error.body)
        return await _never(request) if fault == "lost" else _json(200, body)

    def _do(
        self, method: str, path: str, query: Sequence[tuple[str, str]], form: Mapping[str, str], key: str | None
    ) -> Json:
        if method == "POST" and path == "refunds":
            return self.create_refund(form, key)
        if method != "GET":
            raise StripeError(404, f"Unrecognized request URL ({method}: /v1/{path})")
        if path == "events" or path in _KINDS:
            if self.page_hook:
                self.page_hook()
            page = self.list_events(query) if path == "events" else self.list_objects(path, query)
            return {**page, "data": [self._expanded(item, query, "data.") for item in page["data"]]}
        parent, _, id_ = path.rpartition("/")
        if parent not in _KINDS:
            raise StripeError(404, f"Unrecognized request URL (GET: /v1/{path})")
        return self._expanded(self.get_object(_KINDS[parent], id_), query)

    def _expanded(self, item: Json, query: Sequence[tuple[str, str]], prefix: str = "") -> Json:
        """Show in full what was asked to be, of what the account holds."""
        names = [value.removeprefix(prefix) for name, value in query if name.startswith("expand[")]
        return {**item, **{name: self.objects[item[name]] for name in names if item.get(name) in self.objects}}


def _json(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Response:
    """Return a body in the layout Stripe sends."""
    content = json.dumps(body, indent=2)
    return Response(content, status, {"Request-Id": "req_1", **(headers or {})}, media_type="application/json")


async def _never(request: Request) -> Response:
    while not await request.is_disconnected():  # returns at once; the caller's time-out ends it
        await request.receive()
    raise HTTPException(499)


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """Serve a fake account in a thread of its own until the block ends."""
    fake = FakeStripe(free_port())
    app = Starlette(routes=[Route("/{path:path}", fake.answer, methods=["GET", "POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, port=fake.port, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the fake did not start"
        time.sleep(0.01)
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(10)
