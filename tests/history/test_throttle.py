"""Live work first: each reason to wait, in its sentence; the import pauses for it, and goes on."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from bookings_gateway.history.errors import WatchEnded
from bookings_gateway.history.others import Others
from bookings_gateway.history.throttle import Limits, Throttle
from bookings_gateway.main import SEARCH_PATH
from shared.database import create_engine
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_history import facts

WEBHOOKS = """
# TYPE http_request_seconds histogram
http_request_seconds_bucket{{route="/api/webhooks/stripe",le="0.1"}} {fast}
http_request_seconds_bucket{{route="/api/webhooks/stripe",le="0.5"}} {all}
http_request_seconds_bucket{{route="/api/webhooks/stripe",le="+Inf"}} {all}
"""
QUICK = WEBHOOKS.replace("0.1", "0.002").replace("0.5", "0.02")
QUEUE = """
# TYPE queue_depth gauge
queue_depth{{queue="users.bulk"}} {waiting}
queue_depth{{queue="users.retry.1s"}} 5000
"""


@pytest.fixture
async def moved(databases: Databases) -> AsyncIterator[Moved]:
    async with moving(databases, "default", facts(60, seed=71)) as moved:
        yield moved


@asynccontextmanager
async def telling(metrics: Mapping[str, str]) -> AsyncIterator[Others]:
    """Services that tell these metrics, as they are when asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host not in metrics:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(200, text=metrics[request.url.host])

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        yield Others({part: f"http://{part}" for part in metrics}, client)


async def test_it_waits_while_too_much_is_unsent_and_then_goes_on(moved: Moved) -> None:
    throttle = Throttle(moved.gateway, Limits(outbox_rows=10))
    assert await throttle.look() is None
    said = []

    async with throttle.watching(), moved.history.importing(by="tests") as importer:
        importer.rows = 20
        chunks = importer.chunks()
        assert await anext(chunks) == 20
        assert await throttle.look() == "more than 10 events wait to be sent"
        async for reason in throttle.reasons():
            said.append(reason)
            await importer.say(reason)
            assert (await moved.history.status()).remark == reason
            await moved.pump.run()
        assert [rows async for rows in chunks]

    assert set(said) == {"more than 10 events wait to be sent"}
    assert throttle.waited.keys() == {"more than … events wait to be sent"}


async def test_it_waits_for_a_service_that_falls_behind(moved: Moved) -> None:
    metrics = {"users": QUEUE.format(waiting=1_200)}
    async with telling(metrics) as others:
        throttle = Throttle(moved.gateway, Limits(), others)

        assert await throttle.look() == "1,200 messages wait at users"
        metrics["users"] = QUEUE.format(waiting=10)
        assert await throttle.look() is None


async def test_it_waits_while_live_requests_take_long(moved: Moved) -> None:
    metrics = {"payments": WEBHOOKS.format(fast=100, all=100)}
    async with telling(metrics) as others:
        throttle = Throttle(moved.gateway, Limits(), others)
        assert await throttle.look() is None  # nothing to compare with yet

        metrics["payments"] = WEBHOOKS.format(fast=110, all=150)
        assert await throttle.look() == "p95 of /api/webhooks/stripe 475 ms > 250 ms"
        metrics["payments"] = WEBHOOKS.format(fast=210, all=250)
        assert await throttle.look() is None


async def test_it_waits_while_live_requests_take_twice_as_long_as_usual(moved: Moved) -> None:
    fast, all_ = 200, 200  # usually 95 ms
    metrics = {"payments": WEBHOOKS.format(fast=fast, all=all_)}
    said = []
    async with telling(metrics) as others:
        throttle = Throttle(moved.gateway, Limits(live_p95_ms=1_000), others)
        await throttle.look()
        for _ in range(20):
            fast, all_ = fast + 18, all_ + 20  # 300 ms
            metrics["payments"] = WEBHOOKS.format(fast=fast, all=all_)
            said.append(await throttle.look())

        waits = "p95 of /api/webhooks/stripe 300 ms > 190 ms (usually 95 ms)"
        assert said[:2] == [None, None]  # it may be an accident
        assert said[2:12] == [waits] * 10
        assert said[12:] == [None] * 8  # it stood long enough: that is how it is today
        assert await throttle.look() is None  # and nobody asks for anything any more


async def test_nobody_is_waited_for_where_nothing_is_asked_or_all_is_quick(moved: Moved) -> None:
    metrics = {"payments": QUICK.format(fast=0, all=0)}
    async with telling(metrics) as others:
        throttle = Throttle(moved.gateway, Limits(), others)
        for look in range(8):
            metrics["payments"] = QUICK.format(fast=0, all=30 * look)  # 19 ms: slow for this one, not for anybody
            assert await throttle.look() is None
        for look in range(8):
            metrics["payments"] = WEBHOOKS.format(fast=210, all=210 + look)  # too few to say
            assert await throttle.look() is None


async def test_it_waits_for_a_replica_that_falls_behind(moved: Moved) -> None:
    url = moved.gateway.url.set(drivername="postgresql").render_as_string(hide_password=False)
    planted = create_engine(url, name="tests", search_path=f"{SEARCH_PATH},pg_catalog")
    await moved.rows("bookings-gateway", "CREATE TABLE pg_stat_replication (application_name text, replay_lsn pg_lsn)")
    behind = "INSERT INTO gateway.pg_stat_replication VALUES ('east', pg_current_wal_lsn() - 100 * 1024 * 1024)"
    await moved.rows("bookings-gateway", behind)

    said = await Throttle(planted, Limits()).look()
    assert said is not None
    assert said.startswith("replica east is 10")
    assert said.endswith("MB behind > 64 MB")
    assert await Throttle(planted, Limits(replica_lag_mb=1_000)).look() is None
    await planted.dispose()


async def test_who_does_not_answer_is_not_waited_for(moved: Moved) -> None:
    async with telling({}) as others:
        silent = Others({"users": "http://users"}, others.client)

        assert await Throttle(moved.gateway, Limits(), silent).look() is None


async def test_an_answer_that_is_no_metrics_is_no_reason_and_it_goes_on_looking(moved: Moved) -> None:
    busy = QUEUE.format(waiting=1_200)
    metrics = {"users": busy}
    async with telling(metrics) as others:
        throttle = Throttle(moved.gateway, Limits(), others)
        said = []
        for told in (busy, "<html>502 bad gateway {</html>", busy):
            metrics["users"] = told
            said.append(await throttle.look())

    assert said == ["1,200 messages wait at users", None, "1,200 messages wait at users"]


async def test_a_watcher_that_ended_ends_the_import_with_a_sentence(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle = Throttle(moved.gateway, Limits(outbox_rows=10))

    async def broken(_: Throttle) -> None:
        raise ZeroDivisionError

    async def import_under(throttle: Throttle) -> None:
        async with throttle.watching(), moved.history.importing(by="tests") as importer:
            importer.rows = 20
            await anext(importer.chunks())
            assert await throttle.look()
            monkeypatch.setattr(Throttle, "look", broken)
            async for reason in throttle.reasons():
                await importer.say(reason)

    with pytest.raises(WatchEnded, match="ZeroDivisionError"):
        await import_under(throttle)
    status = await moved.history.status()
    assert status.state == "failed"
    assert "the same command goes on" in (status.remark or "")
    await moved.go_on()
    assert (await moved.history.status()).state == "imported"
