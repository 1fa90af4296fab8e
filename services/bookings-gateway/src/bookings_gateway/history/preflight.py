"""Before anything: what the table is, what stands in the way, and exactly what an import would do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history.checks import MOST_ROWS
from bookings_gateway.history.move import History, Prediction
from bookings_gateway.history.source import Source
from bookings_gateway.history.staff import staff_addresses
from bookings_gateway.install import TRIGGER, TRUNCATE_TRIGGER
from bookings_gateway.personal import personal_columns, undecided_columns

_TRIGGERS = text(
    """
    SELECT t.tgname AS name, CAST(t.tgenabled AS text) AS enabled FROM pg_trigger t
    WHERE t.tgrelid = :oid AND NOT t.tgisinternal ORDER BY t.tgname
    """
)
_SERVER = text(
    """
    SELECT current_setting('server_version') AS version,
           CAST(current_setting('server_version_num') AS integer) AS number,
           pg_total_relation_size(CAST(:oid AS oid)) AS bytes, current_user AS role,
           pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = CAST(:oid AS oid)), 'MEMBER') AS owns,
           coalesce((SELECT extract(epoch FROM now() - min(xact_start)) FROM pg_stat_activity
                     WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()), 0)
               AS oldest_transaction
    """
)
_DUPLICATES = """
    SELECT count(*) AS groups, coalesce(sum(n), 0) AS rows
    FROM (SELECT count(*) AS n FROM {table} b WHERE b.{reference} IS NOT NULL
          GROUP BY b.{reference} HAVING count(*) > 1) d
"""
_REPLICAS = text(
    """
    SELECT count(*) AS known, count(replay_lsn) AS visible FROM pg_stat_replication
    """
)
_LOGINS = text("SELECT to_regclass('public.users') IS NOT NULL")
_LEAST_VERSION = 140_000
_LONG_TRANSACTION_SECONDS = 60
# What the import adds beside the table: its ledger, events and outbox, per booking, measured.
_BYTES_PER_BOOKING = 3_000


@dataclass(frozen=True, slots=True)
class Point:
    """One thing looked at. ``blocks``: the import must not begin like this."""

    what: str
    found: str
    ok: bool = True
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Preflight:
    """The points, the column map, and the prediction."""

    points: Sequence[Point]
    columns: Sequence[tuple[str, str, str]]
    prediction: Prediction

    @property
    def passed(self) -> bool:
        return not any(point.blocks for point in self.points)

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "points": [{name: getattr(point, name) for name in point.__slots__} for point in self.points],
            "columns": [list(column) for column in self.columns],
            "prediction": {**self.prediction.counts.as_json(), "users": self.prediction.users},
        }


async def preflight(history: History) -> Preflight:
    """Look at everything; changes nothing. Raises what says that the table cannot be mapped at all."""
    async with history.engine.connect() as connection:
        source = await history.source(connection)
        points = await _surroundings(connection, source)
        points += await _oddities(connection, source)
        rows, _ = await source.checksum(connection)
        staff = await staff_addresses(connection)
    points.append(Point("disk", f"about {rows * _BYTES_PER_BOOKING / 2**20:,.0f} MiB will be added for {rows:,} rows"))
    prediction = await history.predict(staff=staff)
    points += _by_staff(prediction)
    points += _personal(source)
    if prediction.set_aside:
        points.append(Point("set aside", f"{len(prediction.set_aside):,} rows, listed below", ok=False))
    layout = source.table.layout
    columns = [(field, column, source.table.columns[column]) for field, column in layout.columns.items()]
    return Preflight(points, columns, prediction)


async def obstacles(connection: AsyncConnection, source: Source) -> list[Point]:
    """Return what an import must not begin with; looks at no row."""
    return [point for point in await _surroundings(connection, source) if point.blocks]


async def _surroundings(connection: AsyncConnection, source: Source) -> list[Point]:
    return [*await _server(connection, source), *await _triggers(connection, source)]


def _personal(source: Source) -> list[Point]:
    """What an erasure empties, and the columns of which nobody has said whether it should."""
    columns, layout = source.table.columns, source.table.layout
    points = [Point("emptied by an erasure", ", ".join(personal_columns(columns, layout)))]
    if undecided := undecided_columns(columns, layout):
        told = "an erasure leaves them: say in a layout file which are personal = [...] and which harmless = [...]"
        points.append(Point("columns nobody decided on", f"{', '.join(undecided)}; {told}", ok=False))
    return points


def _by_staff(prediction: Prediction) -> list[Point]:
    """Customers whose address is a staff account's: by their bookings, never by the address."""
    found = prediction.by_staff
    if not found:
        return []
    people = len(prediction.identities & prediction.staff)
    shown = ", ".join(found[:MOST_ROWS]) + (f" and {len(found) - MOST_ROWS:,} more" if len(found) > MOST_ROWS else "")
    told = f"{people:,} addresses of staff booked {len(found):,} times; they become customers too, without a login"
    return [Point("staff among the customers", f"{told}: {shown}", ok=False)]


async def _server(connection: AsyncConnection, source: Source) -> list[Point]:
    row = (await connection.execute(_SERVER, {"oid": source.table.oid})).one()
    is_new, is_quiet = row.number >= _LEAST_VERSION, row.oldest_transaction < _LONG_TRANSACTION_SECONDS
    return [
        Point("PostgreSQL", row.version, ok=is_new, blocks=not is_new),
        Point("table", f"{source.table.name}, {row.bytes / 2**20:,.0f} MiB with indexes"),
        Point(
            "role", f"{row.role} {'may' if row.owns else 'may not'} change the table", ok=row.owns, blocks=not row.owns
        ),
        Point("oldest transaction", f"{row.oldest_transaction:.0f} s", ok=is_quiet),
        *await _replicas(connection, row.role),
    ]


async def _replicas(connection: AsyncConnection, role: str) -> list[Point]:
    """Nothing where there are none."""
    row = (await connection.execute(_REPLICAS)).one()
    if not row.known:
        return []
    if row.visible:
        return [Point("replicas", f"{row.visible}: the import waits while one is too far behind")]
    way_out = f'how far they are behind cannot be seen: GRANT pg_read_all_stats TO "{role}"'
    return [Point("replicas", f"{row.known}: {way_out}", ok=False)]


async def _triggers(connection: AsyncConnection, source: Source) -> list[Point]:
    found = {row.name: row.enabled for row in await connection.execute(_TRIGGERS, {"oid": source.table.oid})}
    points = []
    for ours in (TRIGGER, TRUNCATE_TRIGGER):
        on = found.pop(ours, "D") != "D"
        points.append(
            Point(f"trigger {ours}", "on" if on else "missing or off: run migrate first", ok=on, blocks=not on)
        )
    if found:
        points.append(Point("the table's own triggers", ", ".join(found)))
    if source.table.touching:
        told = "bumps the time of change on every update, so user_id is not copied to the rows"
        points.append(Point(", ".join(source.table.touching), told, ok=False))
    return points


async def _oddities(connection: AsyncConnection, source: Source) -> list[Point]:
    points = []
    if source.table.layout.reference:
        twice = (await connection.execute(source.statement(_DUPLICATES))).one()
        if twice.rows:
            told = f"{twice.groups} references stand on {twice.rows} rows; their payments' references get a suffix"
            points.append(Point("double references", told, ok=False))
    if (await connection.execute(_LOGINS)).scalar_one():
        points.append(Point("table users", "the staff logins, as the old server has them: never touched"))
    return points
