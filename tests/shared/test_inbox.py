"""Every service that records event ids in an inbox also forgets them one day."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import bookings_gateway.handlers
import payments.handlers
import users.handlers
from shared.inbox import InboxHandler
from shared.service import forget_old


@pytest.mark.parametrize(
    "handler",
    [
        bookings_gateway.handlers.ReadModelHandler,
        payments.handlers.BookingsHandler,
        users.handlers.BookingsHandler,
    ],
)
def test_a_handler_with_an_inbox_has_it_cleaned(handler: type[object]) -> None:
    assert issubclass(handler, InboxHandler)


async def test_ids_older_than_the_retention_are_forgotten_and_younger_ones_kept(
    make_engine: Callable[[str], Awaitable[AsyncEngine]],
) -> None:
    engine = await make_engine("sample")
    async with engine.begin() as connection:
        for days in (1, 89, 91, 400):
            await connection.execute(
                text("INSERT INTO inbox VALUES (gen_random_uuid(), now() - make_interval(days => :days))"),
                {"days": days},
            )

    await forget_old(engine, timedelta(days=90))

    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM inbox"))).scalar_one() == 2
