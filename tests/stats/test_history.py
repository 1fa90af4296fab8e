"""Any history, in any order, with duplicates: live = rebuilt = the customer's own SQL = a plain fold."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import stats
from local_stack.postgres import LocalPostgres
from shared.database import create_engine, migrate
from shared.events import Event
from stats.errors import NoGeneration
from stats.handlers import JournalHandler
from stats.projector import enter_few
from stats.service.generations import indexes, live, script
from stats.service.partial import rebuild_user
from stats.service.rebuild import Order, Rebuild
from stats.service.rollback import roll_back
from support.apply import apply
from support.events import booking, linked, merged, payment, registered
from support.statistics import announced, fold, projected

USERS = [f"0190a000-0000-7000-8000-00000000000{n}" for n in range(1, 5)]
CURRENCIES = ("GBP", "EUR")
NAME = "test_histories"

# The customer's statement (their document, 3.1) over their own table, as the links and merges stand.
CUSTOMERS_TABLE = text(
    """
    CREATE TEMPORARY TABLE bookings (id text, user_id text, "finalAmount" numeric, "createdAt" timestamptz)
    ON COMMIT DROP
    """
)
CUSTOMERS_ROW = text(
    """
    INSERT INTO bookings
    VALUES (:id, :user, CAST(CAST(:a AS text) AS numeric), CAST(CAST(:c AS text) AS timestamptz))
    """
)
CUSTOMERS_SQL = text(
    """
    SELECT user_id, COUNT(*) AS booking_count, coalesce(SUM("finalAmount"), 0) AS total_amount,
           MIN("createdAt") AS first_date, MAX("createdAt") AS last_date
    FROM bookings WHERE user_id IS NOT NULL GROUP BY user_id
    """
)


# Of a user (before merges), in the live generation; none of it touches what others have.
DAMAGE = (
    "SELECT 1",
    "UPDATE currency_totals SET spent = spent + 1, paid = paid - 1 WHERE user_id = :user",
    "DELETE FROM currency_totals WHERE user_id = :user",
    "DELETE FROM activity WHERE user_id = :user",
)


class World:
    """One event loop and one database for all examples, wiped in between."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.url = url
        self.engine: AsyncEngine = create_engine(url, name="tests", pool_size=8)

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def wipe(self) -> None:
        async with self.engine.begin() as connection:
            schemas = (await connection.execute(text("SELECT schema FROM generation"))).scalars().all()
            for schema in schemas:
                await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
            await connection.execute(
                text("TRUNCATE journal, event_log, outbox, announced_totals, to_announce, generation, rebuild CASCADE")
            )
            await connection.execute(text("CREATE SCHEMA generation_1"))
            await connection.execute(
                text("INSERT INTO generation (schema, live, live_since) VALUES ('generation_1', true, now())")
            )
            await connection.execute(text("SET LOCAL search_path TO generation_1, public"))
            for statement in [*script("schema"), *(index.statement for index in indexes())]:
                await connection.execute(text(statement))

    async def damage(self, user: str, statement: str) -> None:
        async with self.engine.begin() as connection:
            await enter_few(connection, await live(connection))
            await connection.execute(text(statement), {"user": user} if ":user" in statement else {})

    def close(self) -> None:
        self.run(self.engine.dispose())
        self.loop.close()


class History(RuleBasedStateMachine):
    """What happens to the business; what stats gets to hear of it, and when, is another matter."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.events: list[Event] = []
        self.waiting: list[Event] = []
        self.versions: Counter[str] = Counter()
        self.rows: dict[str, dict[str, Any]] = {}
        self.owner: dict[str, str] = {}
        self.into: dict[str, str] = {}
        self.paid: dict[str, dict[str, Any]] = {}
        self.world.run(self.world.wipe())
        for user in USERS[:2]:
            self.happens(registered(user))

    def happens(self, event: Event) -> None:
        self.events.append(event)
        self.waiting.append(event)

    def version(self, key: str) -> int:
        self.versions[key] += 1
        return self.versions[key]

    @rule(
        number=st.integers(1, 6),
        cents=st.one_of(st.none(), st.integers(0, 99_999)),
        day=st.integers(1, 28),
        currency=st.sampled_from(CURRENCIES),
    )
    def create_or_update_a_booking(self, number: int, cents: int | None, day: int, currency: str) -> None:
        id_ = f"b{number}"
        amount = None if cents is None else f"{cents / 100:.2f}"
        created = f"2025-03-{day:02}T10:00:00+00:00"
        row: dict[str, Any] = {"amount": amount, "currency": currency, "created_at": created}
        self.happens(booking(id_, self.version(f"booking {id_}"), **row))
        self.rows[id_] = row

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def delete_a_booking(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.rows)))
        row = self.rows.pop(id_)
        self.happens(booking(id_, self.version(f"booking {id_}"), deleted=True, **row))

    @rule(number=st.integers(1, 6), user=st.sampled_from(USERS))
    def link_or_relink(self, number: int, user: str) -> None:
        id_ = f"b{number}"
        self.happens(linked(id_, user, self.version(f"link {id_}")))
        self.owner[id_] = user

    @rule(user=st.sampled_from(USERS), into=st.sampled_from(USERS))
    def merge(self, user: str, into: str) -> None:
        if user in self.into or self.canonical(into) == user:
            return
        self.happens(merged(user, into, self.version(f"merge {user}")))
        self.into[user] = into

    @precondition(lambda self: self.into)
    @rule(data=st.data())
    def unmerge(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(sorted(self.into)))
        self.happens(merged(user, None, self.version(f"merge {user}")))
        del self.into[user]

    @rule(number=st.integers(1, 4), booking_id=st.one_of(st.none(), st.integers(1, 6)), received=st.integers(0, 50_000))
    def pay_or_fail(self, number: int, booking_id: int | None, received: int) -> None:
        self.payment(f"p{number}", booking_id=f"b{booking_id}" if booking_id else None, received=received)

    @precondition(lambda self: self.paid)
    @rule(data=st.data(), share=st.integers(0, 100), kind=st.sampled_from(["refunded", "disputed"]))
    def refund_or_dispute_or_give_back(self, data: st.DataObject, share: int, kind: str) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.paid)))
        part = self.paid[id_]["received"] * share // 100
        self.payment(id_, **{**self.paid[id_], kind: part})

    def payment(self, id_: str, **state: Any) -> None:
        event = payment(id_, state["booking_id"], self.version(f"payment {id_}"), **_without(state, "booking_id"))
        self.happens(event)
        self.paid[id_] = state

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), group=st.integers(1, 6))
    def some_of_it_is_delivered_in_any_order(self, data: st.DataObject, group: int) -> None:
        order = data.draw(st.permutations(self.waiting))
        count = data.draw(st.integers(1, len(order)))
        self.deliver(order[:count], group)
        self.waiting = order[count:]

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def some_of_it_is_delivered_again(self, data: st.DataObject) -> None:
        heard = [event for event in self.events if event not in self.waiting]
        if heard:
            self.deliver(data.draw(st.lists(st.sampled_from(heard), max_size=4)), 3)

    @rule(slice_=st.integers(1, 9))
    def the_statistics_are_rebuilt(self, slice_: int) -> None:
        outcome = self.world.run(Rebuild(self.world.engine, "/stats")(Order(operator="tests", slice=slice_)))
        assert (outcome.differences, outcome.announced) == (0, 0)

    @rule(user=st.sampled_from(USERS), damage=st.sampled_from(DAMAGE))
    def one_user_is_damaged_and_rebuilt_in_place(self, user: str, damage: str) -> None:
        self.world.run(self.world.damage(user, damage))
        result = self.world.run(rebuild_user(self.world.engine, "/stats", UUID(user), operator="tests"))
        assert result.announced == 0

    @rule()
    def the_statistics_are_rolled_back(self) -> None:
        try:
            assert self.world.run(roll_back(self.world.engine, "/stats")).announced == 0
        except NoGeneration:
            return

    def deliver(self, events: list[Event], group: int) -> None:
        self.world.run(apply(self.world.engine, JournalHandler("/stats"), events, group=group))

    @invariant()
    def live_equals_the_fold_of_what_was_heard(self) -> None:
        expected = fold(event for event in self.events if event not in self.waiting)
        assert self.world.run(projected(self.world.engine)) == expected
        told = self.world.run(announced(self.world.engine))
        assert told == {user: line[:-1] for user, line in expected.items()}

    def teardown(self) -> None:
        if not hasattr(self, "events"):
            return
        self.deliver(self.waiting, 5)
        self.waiting = []
        self.live_equals_the_fold_of_what_was_heard()
        self.the_statistics_are_rebuilt(4)
        self.live_equals_the_fold_of_what_was_heard()
        assert self.world.run(self.in_customers_terms()) == self.world.run(self.by_customers_sql())

    async def in_customers_terms(self) -> dict[str, Any]:
        people = await projected(self.world.engine)
        return {
            user: (bookings, sum(sums[0] for sums in money.values()), first, last)
            for user, (bookings, money, first, last, *_) in people.items()
            if bookings
        }

    async def by_customers_sql(self) -> dict[str, Any]:
        async with self.world.engine.begin() as connection:
            await connection.execute(CUSTOMERS_TABLE)
            for id_, row in self.rows.items():
                await connection.execute(
                    CUSTOMERS_ROW,
                    {
                        "id": id_,
                        "user": self.canonical(self.owner.get(id_)),
                        "a": row["amount"],
                        "c": row["created_at"],
                    },
                )
            rows = (await connection.execute(CUSTOMERS_SQL)).all()
        return {row[0]: tuple(row[1:]) for row in rows}

    def canonical(self, user: str | None) -> str | None:
        while user in self.into:
            user = self.into[user]
        return user


def _without(state: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != key}


@pytest.fixture
def world(postgres: LocalPostgres) -> Iterator[World]:
    """Outside of the tests' event loop, because a state machine is not asynchronous."""
    world = World(postgres.admin_url(NAME))
    admin = create_engine(postgres.admin_url(), name="tests")
    world.run(_create_database(admin))
    migrate(world.url, Path(str(stats.__file__)).parent / "migrations")
    yield world
    world.close()


async def _create_database(admin: AsyncEngine) -> None:
    async with admin.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        await autocommit.execute(text(f"CREATE DATABASE {NAME}"))
    await admin.dispose()


def test_any_history_gives_the_same_statistics_live_rebuilt_and_by_the_customers_sql(world: World) -> None:
    class InWorld(History):
        pass

    InWorld.world = world
    examples = int(os.environ.get("HISTORY_EXAMPLES", "12"))
    run_state_machine_as_test(
        InWorld,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
