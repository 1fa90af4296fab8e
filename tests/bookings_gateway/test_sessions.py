"""Sessions of browsers: who gets one, what it is good for, when it ends."""

from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import accounts
from bookings_gateway.access.actor import Role
from bookings_gateway.access.passwords import needs_rehash
from bookings_gateway.access.secrets import hashed
from support.databases import Databases
from support.gateway import NEW, ORIGIN, Gateway, log_in
from support.gateway import gateway as running_gateway
from support.legacy_table import execute, fetch
from support.staff import PASSWORD, SOMEBODY, add_account

EMAIL = "ann@office.example"
OTHER_PASSWORD = "another, just as long"
COOKIE = "staff_session"


@pytest.fixture
async def ann(gateway: Gateway) -> None:
    await add_account(gateway.engine, EMAIL)


async def status(client: httpx.AsyncClient) -> int:
    return (await client.get("/session")).status_code


@pytest.mark.usefixtures("ann")
async def test_login_opens_a_session_the_browser_keeps_from_scripts(gateway: Gateway) -> None:
    async with gateway.client() as client:
        answer = await client.post("/login", json={"email": EMAIL, "password": PASSWORD})
        cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]

        assert answer.json()["role"] == "admin"
        assert answer.headers["cache-control"] == "no-store"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "lax", "/", "")
        assert (await client.get("/session")).json() == answer.json()


@pytest.mark.usefixtures("ann")
async def test_only_the_hash_of_a_session_is_stored(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await log_in(client)
        session_id = client.cookies[COOKIE]

    assert await fetch(gateway.engine, "SELECT id_hash FROM staff_session") == [(hashed(session_id),)]


@pytest.mark.parametrize(
    ("settings", "secure"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "0.0.0.0"}, True),  # noqa: S104 - nothing listens
        ({"host": "127.0.0.1", "admin_origins": "https://admin.example"}, True),
        ({"host": "0.0.0.0", "admin_origins": "http://intranet:8000"}, False),  # noqa: S104
    ],
)
async def test_the_cookie_is_for_https_alone_unless_pages_come_by_plain_http(
    gateway_databases: Databases, settings: dict[str, str], *, secure: bool
) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, **settings) as whole:
        await add_account(whole.engine, EMAIL)
        async with whole.client() as client:
            answer = await client.post("/login", json={"email": EMAIL, "password": PASSWORD})

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-staff_session=" if secure else "staff_session=")
    assert ("secure" in cookie.lower()) is secure


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("written", ["ann@office.example", " Ann@Office.EXAMPLE "])
async def test_an_account_is_found_however_its_e_mail_is_written(gateway: Gateway, written: str) -> None:
    async with gateway.client() as client:
        await log_in(client, written)


@pytest.mark.usefixtures("ann")
async def test_login_never_keeps_the_session_somebody_came_with(gateway: Gateway) -> None:
    """Session fixation: neither an id made up by somebody else, nor one that is known to them."""
    async with gateway.client() as client:
        planted = {"Cookie": f"{COOKIE}=planted"}
        await client.post("/login", json={"email": EMAIL, "password": PASSWORD}, headers=planted)
        first = client.cookies[COOKIE]
        await log_in(client)
        second = client.cookies[COOKIE]

    assert len({"planted", first, second}) == 3
    for ended in ("planted", first):
        async with gateway.client(cookies={COOKIE: ended}) as client:
            assert await status(client) == 401


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "wrong"},
        {"X-CSRF-Token": "\xe9"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://gateway.evil.example"},
        {"Origin": "http://gateway:8000"},
        {"Origin": "null"},
    ],
)
async def test_a_write_in_a_session_from_another_page_is_refused(gateway: Gateway, headers: dict[str, str]) -> None:
    async with gateway.client() as client:
        await log_in(client)
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        refused = await client.post("/bookings", json=NEW, headers=raw)
        read = await client.get("/bookings")

    assert (refused.status_code, list(refused.json())) == (403, ["error"])
    assert read.json() == []


@pytest.mark.usefixtures("ann")
async def test_a_write_without_any_csrf_token_is_refused(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await log_in(client)
        del client.headers["X-CSRF-Token"]

        assert (await client.post("/bookings", json=NEW)).status_code == 403
        assert (await client.post("/logout")).status_code == 403


@pytest.mark.usefixtures("ann")
async def test_the_csrf_token_of_another_session_is_refused(gateway: Gateway) -> None:
    async with gateway.client() as one, gateway.client() as other:
        await log_in(one)
        await log_in(other)
        one.headers["X-CSRF-Token"] = other.headers["X-CSRF-Token"]

        assert (await one.post("/bookings", json=NEW)).status_code == 403


@pytest.mark.usefixtures("ann")
async def test_the_own_page_may_write(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await log_in(client)

        assert (await client.post("/bookings", json=NEW, headers={"Origin": ORIGIN})).status_code == 201


async def test_named_origins_are_the_only_ones(gateway_databases: Databases) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, admin_origins="http://admin.example, http://other.example/") as whole:
        await add_account(whole.engine, EMAIL)
        async with whole.client() as client:
            await log_in(client)
            statuses = [
                (await client.post("/bookings", json=NEW, headers={"Origin": origin})).status_code
                for origin in ("http://admin.example", "http://other.example", ORIGIN)
            ]

    assert statuses == [201, 201, 403]


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "application/json", "Origin": "http://["},
        {"Content-Type": "text/plain"},  # what a page may send anywhere without asking
    ],
)
async def test_nobody_is_logged_in_by_another_page(gateway: Gateway, headers: dict[str, str]) -> None:
    body = f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}'
    async with gateway.client() as client:
        answer = await client.post("/login", content=body, headers=headers)

    assert answer.status_code in {403, 422}
    assert "set-cookie" not in answer.headers


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE staff_session SET last_seen_at = now() - interval '121 minutes'",
        "UPDATE staff_session SET expires_at = now()",
    ],
)
async def test_a_session_ends_when_idle_and_when_old(gateway: Gateway, ending: str) -> None:
    async with gateway.client() as client:
        await log_in(client)
        await execute(gateway.engine, ending)

        assert await status(client) == 401


@pytest.mark.usefixtures("ann")
async def test_using_a_session_keeps_it_from_idling_but_not_from_ageing(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await log_in(client)
        before = await fetch(gateway.engine, "SELECT expires_at FROM staff_session")
        await execute(gateway.engine, "UPDATE staff_session SET last_seen_at = now() - interval '119 minutes'")
        assert await status(client) == 200

    fresh = "SELECT expires_at FROM staff_session WHERE last_seen_at > now() - interval '1 minute'"
    assert await fetch(gateway.engine, fresh) == before


async def _set_role(engine: AsyncEngine) -> None:
    await accounts.set_role(engine, SOMEBODY, email=EMAIL, role=Role.VIEWER)


async def _set_password(engine: AsyncEngine) -> None:
    await accounts.set_password(engine, SOMEBODY, email=EMAIL, password=OTHER_PASSWORD)


async def _disable(engine: AsyncEngine) -> None:
    await accounts.disable(engine, SOMEBODY, email=EMAIL)


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize("change", [_set_role, _set_password, _disable])
async def test_a_change_of_the_account_ends_its_sessions(
    gateway: Gateway, change: Callable[[AsyncEngine], Awaitable[None]]
) -> None:
    async with gateway.client() as client:
        await log_in(client)
        await change(gateway.engine)

        assert await status(client) == 401
    assert await fetch(gateway.engine, "SELECT * FROM staff_session") == []


@pytest.mark.usefixtures("ann")
async def test_a_disabled_account_is_let_in_again_when_enabled(gateway: Gateway) -> None:
    await accounts.disable(gateway.engine, SOMEBODY, email=EMAIL)
    async with gateway.client() as client:
        assert (await client.post("/login", json={"email": EMAIL, "password": PASSWORD})).status_code == 401
        await accounts.enable(gateway.engine, SOMEBODY, email=EMAIL)
        await log_in(client)


@pytest.mark.usefixtures("ann")
async def test_logout_ends_the_session_and_no_other(gateway: Gateway) -> None:
    async with gateway.client() as one, gateway.client() as other:
        await log_in(one)
        await log_in(other)
        kept = one.cookies[COOKIE]
        answer = await one.post("/logout")

        assert answer.status_code == 204
        assert COOKIE not in one.cookies
        assert await status(other) == 200
    async with gateway.client(cookies={COOKIE: kept}) as again:
        assert await status(again) == 401


async def test_logout_takes_effect_at_once_whatever_was_looked_up_before(gateway_databases: Databases) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, access_cache_seconds=2) as whole:
        await add_account(whole.engine, EMAIL)
        async with whole.client() as client:
            await log_in(client)
            stolen = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
            assert await status(client) == 200
            await client.post("/logout")
            assert (await client.get("/session", headers=stolen)).status_code == 401


@pytest.mark.usefixtures("ann")
async def test_a_hash_of_weaker_times_is_renewed_at_login(gateway: Gateway) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await execute(gateway.engine, "UPDATE staff SET password_hash = :hash", hash=weak)
    async with gateway.client() as client:
        await log_in(client)
        await log_in(client)

    ((stored,),) = await fetch(gateway.engine, "SELECT password_hash FROM staff")
    assert not needs_rehash(stored)


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": EMAIL},
        {"email": EMAIL, "password": "x" * 201},
        {"email": "\x00", "password": PASSWORD},
        {"email": EMAIL, "password": PASSWORD, "role": "admin"},
    ],
)
async def test_a_login_that_does_not_fit_is_refused_without_repeating_it(gateway: Gateway, body: object) -> None:
    async with gateway.client() as client:
        answer = await client.post("/login", json=body)

    assert answer.status_code == 422
    assert PASSWORD not in answer.text


async def test_a_login_of_a_megabyte_is_not_read(gateway: Gateway) -> None:
    async with gateway.client() as client:
        answer = await client.post("/login", json={"email": EMAIL, "password": "x" * 2**20})

    assert answer.status_code == 413
