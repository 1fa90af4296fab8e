"""The usual way: a projection in Python that takes one event after the other, with the `eventsourcing` library.

Its application and its projection use the same PostgreSQL; each event's effect and position commit together.
"""

from collections.abc import Mapping
from decimal import Decimal
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

USERS = 300


class Booking(Aggregate):
    """One booking and whose it is."""

    class Made(Aggregate.Created):
        """It was made."""

        user: str
        amount: Decimal

    @event(Made)
    def __init__(self, user: str, amount: Decimal) -> None:
        self.user = user
        self.amount = amount


class Bookings(Application[UUID]):
    """Where bookings are made."""


class Totals(PostgresTrackingRecorder):
    """The table of totals."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        statements: list[Any] = self.sql_create_statements
        statements.append(
            SQL("CREATE TABLE IF NOT EXISTS totals (user_id text PRIMARY KEY, bookings bigint, spent numeric)")
        )

    def count(self, user: str, amount: Decimal, tracking: Tracking) -> None:
        """Add one booking; it commits with the position."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO totals AS t VALUES (%s, 1, %s) ON CONFLICT (user_id) DO UPDATE "
                "SET bookings = t.bookings + 1, spent = t.spent + excluded.spent",
                (user, amount),
                prepare=True,
            )


class UserTotals(Projection[Totals]):
    """Bookings and money per user."""

    name = "user_totals"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        if isinstance(domain_event, Booking.Made):
            self.view.count(domain_event.user, domain_event.amount, tracking)


def event_by_event(url: str, count: int) -> float:
    """Make ``count`` bookings, then project them into an empty table; return events per second."""
    env = environment(url)
    application = Bookings(env=env)
    for number in range(0, count, 500):
        application.save(*(Booking(f"user{n % USERS}", Decimal("10.50")) for n in range(number, number + 500)))
    started = perf_counter()
    with ProjectionRunner(
        application_class=Bookings, projection_class=UserTotals, view_class=Totals, env=env
    ) as runner:
        runner.wait(count, timeout=120)
        seconds = perf_counter() - started
    application.close()
    return count / seconds


def environment(url: str) -> Mapping[str, str]:
    """Return the library's settings for a database."""
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": str(parts.hostname),
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": str(parts.username),
        "POSTGRES_PASSWORD": str(parts.password),
    }
