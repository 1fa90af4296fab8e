"""Whom bulk events touch is announced once they touch nobody any more, or after five minutes, not at every look."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from stats.service.announce import LONGEST, QUIET, Waiting, look_at_soon, waiting

ANN, BOB = UUID(int=1), UUID(int=2)
_EARLIER = text(
    """
    UPDATE to_announce
    SET noted_at = noted_at - CAST(:by AS interval), touched_at = touched_at - CAST(:by AS interval)
    """
)
A_MOMENT = timedelta(seconds=1)


async def touch(engine: AsyncEngine, *users: UUID) -> None:
    async with engine.begin() as connection:
        await look_at_soon(connection, users)


async def pass_time(engine: AsyncEngine, by: timedelta) -> None:
    """Move what was noted into the past: nobody waits for a clock."""
    async with engine.begin() as connection:
        await connection.execute(_EARLIER, {"by": by})


async def test_nobody_waits(stats_engine: AsyncEngine) -> None:
    assert await waiting(stats_engine) == Waiting(0, is_due=False)


async def test_those_who_wait_are_due_when_none_of_them_is_touched_any_more(stats_engine: AsyncEngine) -> None:
    await touch(stats_engine, ANN)
    assert await waiting(stats_engine) == Waiting(1, is_due=False)

    await pass_time(stats_engine, QUIET + A_MOMENT)

    assert await waiting(stats_engine) == Waiting(1, is_due=True)


@pytest.mark.parametrize("again", [ANN, BOB], ids=["the same", "another"])
async def test_whoever_is_touched_again_keeps_all_waiting(stats_engine: AsyncEngine, again: UUID) -> None:
    await touch(stats_engine, ANN)
    await pass_time(stats_engine, QUIET + A_MOMENT)

    await touch(stats_engine, again)

    assert not (await waiting(stats_engine)).is_due


async def test_nobody_waits_for_ever(stats_engine: AsyncEngine) -> None:
    await touch(stats_engine, ANN)
    await pass_time(stats_engine, LONGEST + A_MOMENT)

    await touch(stats_engine, ANN, BOB)

    assert await waiting(stats_engine) == Waiting(2, is_due=True)
