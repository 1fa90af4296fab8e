"""What operators type beside rebuilding: verify, status, rollback, as-of, one user, retention."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from stats.handlers import JournalHandler
from support.apply import apply
from support.events import booking, linked, merged, payment, registered
from support.statistics import announced, projected

ANN = "0190a000-0000-7000-8000-00000000000a"
BOB = "0190a000-0000-7000-8000-00000000000b"
HISTORY = [
    registered(ANN),
    registered(BOB),
    booking("b1", amount="1.00"),
    booking("b1", 2, amount="2.00"),
    booking("b1", 3, amount="3.00"),
    linked("b1", BOB),
    linked("b1", ANN, 2),
    payment("p1", "b1"),
    payment("p1", "b1", 2, refunded=100),
    merged(BOB, ANN),
]


async def execute(engine: AsyncEngine, sql: str) -> Any:
    async with engine.begin() as connection:
        result = await connection.execute(text(sql))
        return result.all() if result.returns_rows else None


async def test_verify_finds_every_difference_and_says_so_by_its_exit_code(
    stats_engine: AsyncEngine, operator: Any
) -> None:
    await apply(stats_engine, JournalHandler("/stats"), HISTORY)
    assert "no differences; nothing was switched" in await operator.types("verify")

    await execute(stats_engine, "UPDATE generation_1.currency_totals SET paid = paid + 1 WHERE paid > 0")
    found = await operator.types("verify", code=1)
    assert f"{ANN}: " in found
    assert "1 users differ" in found
    assert "drift: 1 users differed (verify" in await operator.types("status")

    assert "generation_4 is live, 0 users' totals announced" in await operator.types("rebuild")
    assert "no differences" in await operator.types("verify")
    assert "generation_1 is live again" in await operator.types("rollback")
    await operator.types("rollback")
    await execute(stats_engine, "UPDATE generation SET retired_at = retired_at - interval '1 hour'")
    assert "dropped: generation_1" in await operator.types("generations", "drop")
    assert "no earlier generation" in await operator.types("rollback", code=1)


async def test_status_of_a_fresh_database_says_that_there_is_nothing(operator: Any) -> None:
    status = await operator.types("status")
    for line in ("generation_1, live since", "rebuild: none yet", "drift: never compared", "set aside: nothing"):
        assert line in status
    assert "the broker cannot be reached" in status


async def test_as_of_shows_how_it_stood_then_and_changes_nothing(stats_engine: AsyncEngine, operator: Any) -> None:
    await apply(stats_engine, JournalHandler("/stats"), HISTORY)
    before = await projected(stats_engine)

    shown = await operator.types("rebuild", "--as-of", "2026-01-01T00:02:00+00:00", "--user", ANN)

    assert '"total_spent": "2.00"' in shown
    assert '"total_refunded": "1.00"' in shown
    assert "nothing was switched" in await operator.types("rebuild", "--as-of", "2026-01-01T00:01:00+00:00")
    assert await projected(stats_engine) == before
    assert len(await execute(stats_engine, "SELECT schema FROM generation")) == 1


async def test_one_user_is_rebuilt_by_command(stats_engine: AsyncEngine, operator: Any) -> None:
    await apply(stats_engine, JournalHandler("/stats"), HISTORY)
    before = await projected(stats_engine)
    await execute(stats_engine, "UPDATE generation_1.booking_fact SET amount = 9")
    await execute(stats_engine, "UPDATE generation_1.currency_totals SET spent = 9 WHERE bookings > 0")

    assert "differ; nothing was replaced" in await operator.types("rebuild", "--user", ANN, "--dry-run")
    assert "statistics were replaced" in await operator.types("rebuild", "--user", ANN)
    assert await projected(stats_engine) == before


async def test_forgetting_a_month_keeps_totals_and_says_what_activity_goes(
    stats_engine: AsyncEngine, operator: Any
) -> None:
    await apply(stats_engine, JournalHandler("/stats"), HISTORY)
    # ids of tests are no uuid7; these are made as if in that month
    await execute(
        stats_engine,
        "UPDATE journal SET event_id = CAST(overlay(CAST(uuidv7() AS text) placing '0' from 20 for 1) AS uuid)",
    )
    await operator.types("rebuild")
    month = (await execute(stats_engine, "SELECT tableoid::regclass::text FROM journal"))[0][0]
    told, totals = await announced(stats_engine), await projected(stats_engine)

    assert "drop with `stats generations drop` first" in await operator.types("journal", "forget", month, code=1)
    await execute(stats_engine, "UPDATE generation SET retired_at = retired_at - interval '1 hour'")
    await operator.types("generations", "drop")
    assert "Nothing was changed" in await operator.types("journal", "forget", month)
    assert "4 older ones are gone" in await operator.types("journal", "forget", month, "--yes")

    assert month not in await operator.types("journal", "list")
    assert "no differences" in await operator.types("verify")
    assert await announced(stats_engine) == told
    kept = await projected(stats_engine)
    assert {user: line[:-1] for user, line in kept.items()} == {user: line[:-1] for user, line in totals.items()}
    assert len(kept[ANN][-1]) == len(totals[ANN][-1]) - 4
    assert "is no month" in await operator.types("journal", "forget", "journal_other", code=1)
