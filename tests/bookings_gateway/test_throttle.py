"""Guessing passwords is slow, in parallel too, and keeps nobody out for good."""

import asyncio
from collections import Counter

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import passwords, throttle
from bookings_gateway.access.errors import TooManyAttempts
from support.databases import Databases
from support.gateway import Gateway, log_in
from support.gateway import gateway as running_gateway
from support.legacy_table import execute, fetch
from support.staff import PASSWORD, add_account

EMAIL = "ann@office.example"
WRONG = "wrong"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.9"
WAITED = "UPDATE login_throttle SET free_at = now()"
FREE = throttle.ACCOUNT.free


async def attempt(client: httpx.AsyncClient, password: str = WRONG, email: str = EMAIL) -> httpx.Response:
    return await client.post("/login", json={"email": email, "password": password})


async def take(engine: AsyncEngine, *, email: str = EMAIL, address: str = HOME) -> int:
    """Return the seconds to wait, 0 when the attempt was let through."""
    try:
        await throttle.take(engine, email=email, address=address)
    except TooManyAttempts as refusal:
        return int(refusal.headers["Retry-After"])
    return 0


async def test_a_wrong_password_is_refused_and_after_some_a_wait_is_asked_for(gateway: Gateway) -> None:
    await add_account(gateway.engine, EMAIL)
    async with gateway.client() as client:
        refused = [(await attempt(client)).status_code for _ in range(FREE)]
        answer = await attempt(client, PASSWORD)

    assert refused == [401] * FREE
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


async def test_waits_double_up_to_a_limit(gateway: Gateway) -> None:
    for _ in range(FREE):
        assert await take(gateway.engine) == 0
    waits = []
    for _ in range(12):
        waits.append(await take(gateway.engine))
        await execute(gateway.engine, WAITED)
        assert await take(gateway.engine, address=f"203.0.113.{len(waits)}") == 0

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


async def test_attempts_at_once_get_no_further_than_one_after_the_other(gateway: Gateway) -> None:
    waits = await asyncio.gather(*(take(gateway.engine) for _ in range(30)))

    assert Counter(wait > 0 for wait in waits) == {False: FREE, True: 30 - FREE}


async def test_another_process_counts_on(gateway_databases: Databases) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url) as one, running_gateway(url) as other:
        for whole in (one, other, one, other, one):
            assert await take(whole.engine) == 0

        assert await take(other.engine) > 0


async def test_many_accounts_from_one_address_are_one_guesser(gateway: Gateway) -> None:
    waits = [await take(gateway.engine, email=f"{number}@office.example") for number in range(throttle.ADDRESS.free)]

    assert set(waits) == {0}
    assert await take(gateway.engine, email="new@office.example") == 1
    assert await take(gateway.engine, email="new@office.example", address=ELSEWHERE) == 0


async def test_addresses_of_one_household_are_one(gateway: Gateway) -> None:
    for number in range(throttle.ADDRESS.free):
        await take(gateway.engine, email=f"{number}@office.example", address=f"2001:db8::{number:x}")

    assert await take(gateway.engine, email="new@office.example", address="2001:db8::ffff") == 1
    assert await take(gateway.engine, email="new@office.example", address="2001:db8:0:1::1") == 0
    assert await take(gateway.engine, email="new@office.example", address="::ffff:192.0.2.7") == 0


async def test_a_right_password_begins_the_count_anew(gateway: Gateway) -> None:
    await add_account(gateway.engine, EMAIL)
    async with gateway.client() as client:
        for _ in range(2):
            for _ in range(FREE - 1):
                assert (await attempt(client)).status_code == 401
            await log_in(client)


async def test_whoever_hammers_an_account_does_not_keep_its_owner_out(gateway: Gateway) -> None:
    await add_account(gateway.engine, EMAIL)
    async with gateway.client(HOME) as owner, gateway.client(ELSEWHERE) as attacker:
        await log_in(owner)
        for _ in range(FREE):
            await attempt(attacker)

        assert (await attempt(attacker)).status_code == 429
        await log_in(owner)
        assert (await attempt(attacker)).status_code == 429


async def test_from_a_new_address_the_owner_waits_no_longer_than_is_said(gateway: Gateway) -> None:
    await add_account(gateway.engine, EMAIL)
    async with gateway.client(ELSEWHERE) as attacker, gateway.client(HOME) as owner:
        for _ in range(FREE):
            await attempt(attacker)
        assert (await attempt(owner, PASSWORD)).status_code == 429
        await execute(gateway.engine, WAITED)
        await log_in(owner)


async def test_what_rests_is_forgotten(gateway: Gateway) -> None:
    for _ in range(FREE):
        await take(gateway.engine)
    assert await take(gateway.engine) > 0
    await execute(gateway.engine, "UPDATE login_throttle SET free_at = now(), last_at = now() - interval '61 minutes'")

    assert [await take(gateway.engine) for _ in range(FREE)] == [0] * FREE


async def test_what_counts_no_more_is_removed_and_known_addresses_stay(gateway: Gateway) -> None:
    taken = await throttle.take(gateway.engine, email=EMAIL, address=HOME)
    async with gateway.engine.begin() as connection:
        await throttle.forgive(connection, taken)
    await execute(gateway.engine, "UPDATE login_throttle SET last_at = now() - interval '2 days'")
    async with gateway.engine.begin() as connection:
        await throttle.forget(connection)

    assert await fetch(gateway.engine, "SELECT split_part(key, ':', 1) FROM login_throttle") == [("known",)]


async def test_nobodys_e_mail_or_address_is_kept_with_the_counts(gateway: Gateway) -> None:
    await take(gateway.engine)
    rows = await fetch(gateway.engine, "SELECT CAST(t.* AS text) FROM login_throttle t")

    assert rows
    assert not any("ann" in row or HOME in row for (row,) in rows)


@pytest.mark.parametrize("kind", ["unknown", "disabled", "known"])
async def test_whether_there_is_an_account_cannot_be_told(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same answer after the same work: one verification by the same parameters, one count per key."""
    verified = []
    verify = passwords._verify

    def noted(password: str, stored: str) -> bool:
        verified.append(stored.rpartition("$")[0].rpartition("$")[0])
        return verify(password, stored)

    monkeypatch.setattr(passwords, "_verify", noted)
    if kind != "unknown":
        await add_account(gateway.engine, EMAIL)
    if kind == "disabled":
        await execute(gateway.engine, "UPDATE staff SET disabled_at = now()")
    async with gateway.client() as client:
        answer = await attempt(client, WRONG if kind == "known" else PASSWORD)

    assert (answer.status_code, answer.json()["detail"]) == (401, "The e-mail or the password is wrong.")
    assert verified == ["$argon2id$v=19$m=65536,t=3,p=4"]
    assert await fetch(gateway.engine, "SELECT count(*), sum(attempts) FROM login_throttle") == [(2, 2)]


async def test_a_password_changed_while_the_old_one_is_verified_lets_nobody_in(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_account(gateway.engine, EMAIL)
    loop, verify = asyncio.get_running_loop(), passwords._verify

    def changed_meanwhile(password: str, stored: str) -> bool:
        change = execute(gateway.engine, "UPDATE staff SET password_hash = 'another'")
        asyncio.run_coroutine_threadsafe(change, loop).result(10)
        return verify(password, stored)

    monkeypatch.setattr(passwords, "_verify", changed_meanwhile)
    async with gateway.client() as client:
        assert (await attempt(client, PASSWORD)).status_code == 401
    assert await fetch(gateway.engine, "SELECT * FROM staff_session") == []
