"""Bearer tokens of programs."""

from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import tokens
from bookings_gateway.access.actor import Role
from bookings_gateway.access.errors import StaffRefusal
from support.databases import Databases
from support.gateway import NEW, Gateway, log_in
from support.gateway import gateway as running_gateway
from support.legacy_table import execute, fetch
from support.staff import SOMEBODY, add_account, bearer
from support.waiting import eventually


async def status(gateway: Gateway, headers: dict[str, str]) -> int:
    async with gateway.client(headers=headers) as client:
        return (await client.get("/session")).status_code


async def test_a_token_reads_and_writes_as_its_role_without_csrf(gateway: Gateway) -> None:
    async with gateway.client(headers=await bearer(gateway.engine, Role.STAFF)) as client:
        session = (await client.get("/session")).json()
        created = await client.post("/bookings", json=NEW)
        deleted = await client.delete(f"/bookings/{created.json()['id']}")
        ended = await client.post("/logout")

        assert (session["role"], session["csrfToken"]) == ("staff", None)
        assert (created.status_code, deleted.status_code, ended.status_code) == (201, 403, 204)
        assert "set-cookie" not in ended.headers


async def test_only_the_hash_of_a_token_is_stored(gateway: Gateway) -> None:
    token = await tokens.create_token(
        gateway.engine, SOMEBODY, name="shop", role=Role.VIEWER, lifetime=timedelta(days=1)
    )
    ((stored,),) = await fetch(gateway.engine, "SELECT CAST(t.* AS text) FROM api_token t")

    assert token.startswith("bgw_")
    assert token[4:] not in stored


@pytest.mark.parametrize("ending", ["expires_at = now()", "revoked_at = now()"])
async def test_an_ended_token_lets_nobody_in(gateway: Gateway, ending: str) -> None:
    headers = await bearer(gateway.engine)
    assert await status(gateway, headers) == 200

    await execute(gateway.engine, f"UPDATE api_token SET {ending}")  # noqa: S608 - the two above
    assert await status(gateway, headers) == 401


async def test_a_token_is_revoked_once(gateway: Gateway) -> None:
    headers = await bearer(gateway.engine)
    ((id_,),) = await fetch(gateway.engine, "SELECT id FROM api_token")
    await tokens.revoke_token(gateway.engine, SOMEBODY, token_id=id_)

    assert await status(gateway, headers) == 401
    with pytest.raises(StaffRefusal, match="revoked already"):
        await tokens.revoke_token(gateway.engine, SOMEBODY, token_id=id_)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer bgw_", "Basic YTpi", "bgw_x", "Bearer \xff\x00"])
async def test_what_is_no_token_lets_nobody_in(gateway: Gateway, header: str) -> None:
    async with gateway.client() as client:
        answer = await client.get("/session", headers={b"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401


async def test_a_wrong_token_is_not_made_good_by_a_cookie(gateway: Gateway) -> None:
    """Or a page could write without a CSRF token by adding any token at all."""
    await add_account(gateway.engine)
    async with gateway.client() as client:
        await log_in(client)
        del client.headers["X-CSRF-Token"]
        answer = await client.post("/bookings", json=NEW, headers={"Authorization": "Bearer none"})

    assert answer.status_code == 401


async def test_when_a_token_was_last_used_is_known_to_the_minute(gateway: Gateway) -> None:
    headers = await bearer(gateway.engine)
    await status(gateway, headers)
    ((first,),) = await fetch(gateway.engine, "SELECT last_used_at FROM api_token")
    await status(gateway, headers)
    ((second,),) = await fetch(gateway.engine, "SELECT last_used_at FROM api_token")

    assert first is not None
    assert second == first


async def test_a_database_that_is_away_lets_nobody_in(gateway: Gateway) -> None:
    headers = await bearer(gateway.engine)
    await execute(gateway.engine, "ALTER TABLE api_token RENAME TO gone")
    async with gateway.client(headers=headers) as client:
        new, legacy = await client.get("/session"), await client.get("/bookings")

    assert (new.status_code, new.headers["content-type"]) == (503, "application/problem+json")
    assert (legacy.status_code, list(legacy.json())) == (503, ["error"])


async def test_who_asks_again_is_looked_up_once_and_revocation_takes_the_time_that_is_set(
    gateway_databases: Databases,
) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, access_cache_seconds=0.5) as whole:
        headers = await bearer(whole.engine)
        looked_up = count_statements(whole.engine, "FROM api_token")
        async with whole.client(headers=headers) as client:
            for _ in range(5):
                assert (await client.get("/session")).status_code == 200
            assert len(looked_up) == 1
            await execute(whole.engine, "UPDATE api_token SET revoked_at = now()")

            async def is_out() -> bool:
                return (await client.get("/session")).status_code == 401

            await eventually(is_out, seconds=2, what="the token no good")


async def test_a_session_does_not_pass_for_a_token_nor_a_token_for_a_session(gateway_databases: Databases) -> None:
    """Not even while it is known who it was: a write by token needs no CSRF token."""
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, access_cache_seconds=2) as whole:
        await add_account(whole.engine)
        headers = await bearer(whole.engine)
        async with whole.client() as browser, whole.client(headers=headers) as program:
            await log_in(browser)
            for client in (browser, program):
                assert (await client.get("/session")).status_code == 200
            swapped = {"Authorization": f"Bearer {browser.cookies['staff_session']}"}
            planted = {"Cookie": f"staff_session={headers['Authorization'].split()[1]}"}
        assert await status(whole, swapped) == 401
        assert await status(whole, planted) == 401


def count_statements(engine: AsyncEngine, containing: str) -> list[str]:
    """Return the list that statements run from now on are added to."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, sql: str, *_: object) -> None:
        if containing in sql:
            seen.append(sql)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return seen
