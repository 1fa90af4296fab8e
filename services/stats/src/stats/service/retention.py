"""Forgetting old months of the journal, never what today's totals are made of.

Of every booking, payment, link, merge and user the newest event stays, and the one with the latest time: so a rebuild
gives the same totals and dates afterwards. What goes is history: the activity lines of superseded events, from the
journal and from the live generation, so that both go on agreeing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy.exc
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database import sqlstate
from stats import projector
from stats.errors import JournalNeeded
from stats.service import generations
from stats.service.lock import holding_lock

_PARTITIONS = text(
    """
    SELECT c.relname AS partition, greatest(c.reltuples, 0)::bigint AS rows,
           pg_size_pretty(pg_total_relation_size(c.oid)) AS size
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.journal'::regclass ORDER BY c.relname
    """
)
_MONTH = text(
    """
    SELECT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.journal'::regclass AND c.relname = :partition AND c.relname <> 'journal_other')
    """
)
# What one event is a version of: two kinds of event have the booking as their subject.
_KIND = """CASE WHEN j.type = 'user.booking_linked' THEN 'link'
                 WHEN j.type IN ('user.merged', 'user.unmerged') THEN 'merge'
                 ELSE split_part(j.type, '.', 1) END"""
_FORGOTTEN = """
    CREATE TEMPORARY TABLE forgotten ON COMMIT DROP AS
    WITH foremost AS (
        SELECT {kind} AS kind, j.subject, max(j.sequence) AS newest, max(j.time) AS latest
        FROM public.journal j WHERE j.fault IS NULL GROUP BY 1, 2
    )
    SELECT j.event_id FROM public.{partition} j JOIN foremost l ON l.kind = {kind} AND l.subject = j.subject
    WHERE j.fault IS NULL AND j.sequence < l.newest AND j.time < l.latest
"""
_COLUMNS = text(
    """
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'public.journal'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    """
)
# The journal before the lock on applies: live groups take them in this order, and the other way round would deadlock.
_LOCKS = [text("SET LOCAL lock_timeout = '2s'"), text("LOCK TABLE public.journal IN ACCESS EXCLUSIVE MODE")]
_TIMED_OUT = "55P03"


@dataclass(frozen=True, slots=True)
class Loss:
    """How many of a partition's events stay and how many are, or would be, forgotten."""

    kept: int
    forgotten: int


async def partitions(engine: AsyncEngine) -> Sequence[RowMapping]:
    """Return the journal's partitions with rows (about) and size."""
    async with engine.connect() as connection:
        return (await connection.execute(_PARTITIONS)).mappings().all()


async def forget(engine: AsyncEngine, partition: str, *, really: bool) -> Loss:
    """Forget what a month holds beyond what totals need; without ``really``, only count it.

    Live events wait while the month is taken apart. Raises :class:`JournalNeeded` for a partition that is none, and
    while another generation still needs the journal; :class:`RebuildRunning` while somebody rebuilds.
    """
    async with holding_lock(engine), engine.begin() as connection:
        await _refuse(connection, partition)
        await connection.execute(text(_FORGOTTEN.format(kind=_KIND, partition=partition)))
        forgotten = (await connection.execute(text("SELECT count(*) FROM forgotten"))).scalar_one()
        total = (await connection.execute(text(f"SELECT count(*) FROM public.{partition}"))).scalar_one()  # noqa: S608
        if really:
            await _take_apart(connection, partition)
    return Loss(total - forgotten, forgotten)


async def _refuse(connection: AsyncConnection, partition: str) -> None:
    if not (await connection.execute(_MONTH, {"partition": partition})).scalar_one():
        raise JournalNeeded(f"{partition!r} is no month of the journal; see `stats journal list`")
    if others := await generations.others(connection):
        raise JournalNeeded(
            f"{', '.join(others)} may still need the journal to catch up: drop with `stats generations drop` first "
            "(what an interrupted rebuild built, with `stats rebuild cancel`)"
        )


async def _take_apart(connection: AsyncConnection, partition: str) -> None:
    """What stays moves to the partition of no month; then the month goes as a whole."""
    try:
        for statement in _LOCKS:
            await connection.execute(statement)
        await projector.lock_applies(connection)
    except sqlalchemy.exc.DBAPIError as error:
        if sqlstate(error) != _TIMED_OUT:
            raise
        raise JournalNeeded("the journal is in use by somebody for longer; nothing was changed, try again") from None
    live = await generations.live(connection)
    columns = (await connection.execute(_COLUMNS)).scalar_one()
    for change in (
        f"DELETE FROM {live}.activity a USING forgotten f WHERE a.event_id = f.event_id",  # noqa: S608
        f"ALTER TABLE public.journal DETACH PARTITION public.{partition}",
        f"INSERT INTO public.journal_other ({columns}) SELECT {columns} FROM public.{partition} j "  # noqa: S608
        "WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.event_id = j.event_id)",
        f"DROP TABLE public.{partition}",
    ):
        await connection.execute(text(change))
