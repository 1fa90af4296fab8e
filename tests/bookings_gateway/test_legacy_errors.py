"""Whatever goes wrong below the legacy prefix reads as the old server said it; elsewhere it is a problem document."""

from typing import Any

import httpx
import pytest

from bookings_gateway.service import Bookings
from support.gateway import ORIGIN, Gateway
from support.staff import bearer

DEEP = b'{"contactDetails": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"


async def ask(gateway: Gateway, method: str, path: str, **others: Any) -> httpx.Response:
    """Ask as a server answers, which logs an error instead of handing it to the client."""
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    headers = {**await bearer(gateway.engine), "Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url=f"{ORIGIN}/api/admin", headers=headers) as client:
        return await client.request(method, path, **others)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/bookings", b'{"contactDetails": "\xff"}', 400),
        ("POST", "/bookings", DEEP, 400),
        ("PATCH", "/bookings/x", b"{}", 405),
        ("GET", "/bookings/x/y", b"", 404),
    ],
)
async def test_what_no_legacy_route_answers_is_told_in_the_legacy_form(
    gateway: Gateway, method: str, path: str, body: bytes, status: int
) -> None:
    answer = await ask(gateway, method, path, content=body)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert list(answer.json()) == ["error"]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_a_failure_nobody_expected_is_told_in_each_api_s_form_and_nothing_of_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("peanuts")

    monkeypatch.setattr(Bookings, "find", fails)
    monkeypatch.setattr("bookings_gateway.customers.find", fails)
    legacy, new = await ask(gateway, "GET", "/bookings"), await ask(gateway, "GET", "/users")

    assert (legacy.status_code, new.status_code) == (500, 500)
    assert list(legacy.json()) == ["error"]
    assert new.headers["Content-Type"] == "application/problem+json"
    assert new.json()["status"] == 500
    assert not any(word in answer.text for answer in (legacy, new) for word in ("peanuts", "Zero"))


async def test_a_failure_goes_on_to_the_server_which_logs_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Bookings, "find", fails)
    async with gateway.client(headers=await bearer(gateway.engine)) as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/bookings")
