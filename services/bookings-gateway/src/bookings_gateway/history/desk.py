"""The error desk: rows set aside and rows for review, by code; corrected, waived with a reason and a name, or retried.

Captured changes no event could be made of stand here too, under the code ``change_unreadable``. Each decision is kept.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history import held_changes
from bookings_gateway.history.corrections import as_json
from bookings_gateway.history.errors import NoSuchItem, RefusedAgain, Unsigned
from bookings_gateway.history.importer import Importer
from bookings_gateway.history.move import History
from shared.database import describe, is_transient

LEAST_REASON = 3  # characters
_PAGE = 500  # rows tried again in one transaction: live events wait for it

# A change that was set aside is named by its number: change:17. A booking is for review under each code nobody waived,
# and reviewed under the others.
_FIND = text(
    """
    SELECT * FROM (
        SELECT booking_id AS id, booking_id, outcome AS state, code, detail, attempts, imported_at AS since,
               decided_by, reason
        FROM import_item WHERE outcome IN ('set_aside', 'waived')
        UNION ALL
        SELECT 'change:' || seq, booking_id, 'set_aside', 'change_unreadable', error, 1, failed_at, NULL, NULL
        FROM booking_change_failed
        UNION ALL
        SELECT i.booking_id, i.booking_id, r.state, r.codes, i.class, i.attempts, i.imported_at, r.decided_by, r.reason
        FROM import_item i
        CROSS JOIN LATERAL (
            SELECT CASE WHEN decided_by IS NULL THEN 'review' ELSE 'reviewed' END AS state,
                   string_agg(code, ',' ORDER BY place) AS codes, string_agg(DISTINCT decided_by, ', ') AS decided_by,
                   string_agg(DISTINCT reason, '; ') AS reason
            FROM import_review WHERE booking_id = i.booking_id GROUP BY 1
        ) r
        WHERE i.outcome = 'published' AND i.reviews <> '{}'
    ) e
    WHERE state = ANY(CAST(:states AS text[])) AND id > :after
      AND (CAST(:code AS text) IS NULL OR :code = ANY(string_to_array(code, ',')))
    ORDER BY id LIMIT :limit
    """
)
_BY_CODE = text(
    """
    SELECT code, count(*) AS rows FROM (
        SELECT code FROM import_item WHERE outcome = 'set_aside'
        UNION ALL SELECT 'change_unreadable' FROM booking_change_failed
        UNION ALL SELECT code FROM import_review WHERE decided_by IS NULL
    ) e GROUP BY code ORDER BY code
    """
)
_SHOW = text("SELECT * FROM import_ledger WHERE booking_id = :id")
_DECISIONS = text(
    """
    SELECT action, reason, decided_by, decided_at,
           CASE WHEN action = 'waive' THEN facts -> 'codes' END AS codes
    FROM import_decision WHERE subject = :id ORDER BY id
    """
)
_WAIVE = text(
    """
    UPDATE import_item SET outcome = 'waived', decided_by = :by, decided_at = now(), reason = :reason
    WHERE booking_id = ANY(CAST(:ids AS text[])) AND outcome = 'set_aside'
      AND (CAST(:code AS text) IS NULL OR code = :code)
    RETURNING booking_id, code
    """
)
# What is decided stays as it was decided, whoever decides again at the same moment.
_WAIVE_REVIEWS = text(
    """
    INSERT INTO import_verdict (booking_id, code, decided_by, reason)
    SELECT DISTINCT booking_id, code, :by, :reason FROM import_review
    WHERE booking_id = ANY(CAST(:ids AS text[])) AND decided_by IS NULL
      AND (CAST(:code AS text) IS NULL OR code = :code)
    ON CONFLICT (booking_id, code) DO NOTHING
    RETURNING booking_id, code
    """
)
_CORRECT = text(
    """
    UPDATE import_item
    SET correction = CAST(coalesce(CAST(correction AS jsonb), '{}') || CAST(:columns AS jsonb) AS json)
    WHERE booking_id = :id AND outcome IN ('set_aside', 'waived')
    """
)
_OUTCOME = text("SELECT outcome, code, detail FROM import_item WHERE booking_id = :id")
_DECIDE = text(
    """
    INSERT INTO import_decision (subject, action, reason, decided_by, facts)
    SELECT d.subject, :action, :reason, :by, CAST(d.facts AS json)
    FROM unnest(CAST(:ids AS text[]), CAST(:facts AS text[])) AS d (subject, facts)
    """
)
_IDS = text(
    """
    SELECT booking_id FROM import_item
    WHERE outcome = 'set_aside' AND code = :code
    UNION ALL SELECT booking_id FROM import_review WHERE code = :code AND decided_by IS NULL
    UNION ALL SELECT 'change:' || seq FROM booking_change_failed WHERE :code = 'change_unreadable'
    ORDER BY booking_id
    """
)
_OPEN = text(
    """
    SELECT booking_id FROM import_item
    WHERE booking_id = ANY(CAST(:ids AS text[])) AND outcome = ANY(CAST(:states AS text[])) ORDER BY booking_id
    """
)


# Called in the transaction of a decision, with how many entries it is about.
Also = Callable[[AsyncConnection, int], Awaitable[None]]


async def _nothing(connection: AsyncConnection, entries: int) -> None:
    """Do nothing besides."""


@dataclass(frozen=True, slots=True)
class Retried:
    """How many entries are tried again, and how many changes a newer version of their booking made needless."""

    again: int
    superseded: int


@dataclass(frozen=True, slots=True)
class ErrorDesk:
    """What an operator decides about rows the import could not tell, or would have looked at. Each call commits."""

    history: History

    @property
    def engine(self) -> AsyncEngine:
        return self.history.engine

    async def by_code(self) -> dict[str, int]:
        """Return how many open entries each code has."""
        async with self.engine.connect() as connection:
            return await open_by_code(connection)

    async def find(
        self, *, states: Sequence[str], code: str | None = None, after: str = "", limit: int = 100
    ) -> list[RowMapping]:
        """Return entries in the order of their ids: ``set_aside``, ``waived``, ``review``, ``reviewed``."""
        criteria = {"states": list(states), "code": code, "after": after, "limit": limit}
        async with self.engine.connect() as connection:
            return list((await connection.execute(_FIND, criteria)).mappings())

    async def show(self, id_: str) -> dict[str, Any]:
        """Return an entry with its row and what was decided; raises :class:`NoSuchItem`."""
        if held_changes.is_change(id_):
            return await self._show_change(id_)
        async with self.engine.connect() as connection:
            item = (await connection.execute(_SHOW, {"id": id_})).mappings().one_or_none()
            if item is None:
                raise NoSuchItem(f"The ledger has no booking {id_!r}.")
            source = await self.history.source(connection)
            rows = await source.these(connection, [id_])
            decisions = (await connection.execute(_DECISIONS, {"id": id_})).mappings().all()
        shown = {name: value for name, value in item.items() if name not in {"sha256", "person"}}
        return {
            **shown,
            "row": json.loads(rows[0].text) if rows else None,
            "decisions": [dict(each) for each in decisions],
        }

    async def ids_of(self, code: str) -> list[str]:
        """Return the open entries of a code, for deciding on all of them at once."""
        async with self.engine.connect() as connection:
            return list((await connection.execute(_IDS, {"code": code})).scalars())

    async def _show_change(self, id_: str) -> dict[str, Any]:
        async with self.engine.connect() as connection:
            change = await held_changes.show(connection, id_)
            decisions = (await connection.execute(_DECISIONS, {"id": id_})).mappings().all()
        if change is None and not decisions:
            raise NoSuchItem(f"The desk has no {id_!r}.")
        held = {**change, "row": json.loads(change["row"])} if change else {"id": id_, "row": None}
        return {**held, "correction": None, "decisions": [dict(each) for each in decisions]}

    async def waive(
        self, ids: Sequence[str], *, by: str, reason: str, code: str | None = None, also: Also = _nothing
    ) -> int:
        """Decide that these are left as they are, in respect of one code or of all; return how many were open.

        What was decided before stays as it was. Raises :class:`Unsigned`.
        """
        _require_signed(by, reason)
        said = {"action": "waive", "by": by, "reason": reason}
        waived: dict[str, list[str]] = {}
        async with self.engine.begin() as connection:
            for statement in (_WAIVE, _WAIVE_REVIEWS):
                about = {"ids": list(ids), "code": code, "by": by, "reason": reason}
                for row in await connection.execute(statement, about):
                    waived.setdefault(row.booking_id, []).append(row.code)
            dropped = await held_changes.drop(connection, ids)
            await _decide(connection, {**{id_: {"codes": codes} for id_, codes in waived.items()}, **dropped}, **said)
            if done := len(waived) + len(dropped):
                await also(connection, done)
        return done

    async def correct(
        self, id_: str, columns: Mapping[str, Any], *, by: str, reason: str, also: Also = _nothing
    ) -> RowMapping:
        """Say what a row set aside should have said, and try it again; return its outcome, code and detail then.

        The legacy row itself stays as it is. Raises :class:`NoSuchItem`, :class:`Unsigned`, ``NotCorrectable`` and
        ``ImportHeld``.
        """
        _require_signed(by, reason)
        async with self._holding() as (connection, importer):
            if not await _open(connection, [id_], states=["set_aside", "waived"]):
                raise NoSuchItem(f"No booking {id_!r} is set aside.")
            said = as_json(columns, importer.source)
            await connection.execute(_CORRECT, {"id": id_, "columns": said})
            await _decide(connection, {id_: columns}, action="fix", by=by, reason=reason)
            await _decide(connection, {id_: None}, action="retry", by=by)
            await also(connection, 1)
            if not await importer.again(connection, [id_]):
                raise NoSuchItem(f"The legacy table has no booking {id_!r} any more.")
            return (await connection.execute(_OUTCOME, {"id": id_})).mappings().one()

    async def retry(self, ids: Sequence[str], *, by: str, also: Also = _nothing) -> Retried:
        """Try these again as they are now, page by page. Raises ``Unsigned`` or ``ImportHeld``."""
        _require_signed(by)
        bookings = [id_ for id_ in ids if not held_changes.is_change(id_)]
        changes = [id_ for id_ in ids if held_changes.is_change(id_)]
        again = 0
        for start in range(0, len(bookings), _PAGE):
            again += await self._again(bookings[start : start + _PAGE], by=by, also=also)
        back, superseded = await self._put_back(changes, by=by, also=also)
        return Retried(again + back, superseded)

    async def _put_back(self, ids: Sequence[str], *, by: str, also: Also) -> tuple[int, int]:
        """Have changes captured again; return how many, and how many a newer version made needless."""
        if not ids:
            return 0, 0
        async with self.engine.begin() as connection:
            await self.history.capture.capture_first(connection, self.history.name)
            back, superseded = await held_changes.put_back(connection, ids)
            await _decide(connection, dict.fromkeys(back), action="retry", by=by)
            await _decide(connection, dict.fromkeys(superseded), action="superseded", by=by)
            if back or superseded:
                await also(connection, len(back) + len(superseded))
        return len(back), len(superseded)

    async def _again(self, ids: Sequence[str], *, by: str, also: Also) -> int:
        """Tell those that are set aside again, and nothing else; return how many rows there were."""
        async with self._holding() as (connection, importer):
            if not (open_ := await _open(connection, ids, states=["set_aside"])):
                return 0
            await _decide(connection, dict.fromkeys(open_), action="retry", by=by)
            await also(connection, len(open_))
            return await importer.again(connection, open_)

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[tuple[AsyncConnection, Importer]]:
        """Keep everybody else from the run for one transaction. The run itself stays as it is, whatever goes wrong."""
        try:
            async with self.engine.begin() as connection:
                yield connection, await self.history.deciding(connection)
        except DBAPIError as error:
            if is_transient(error):
                raise
            raise RefusedAgain(describe(error)) from error


async def open_by_code(connection: AsyncConnection) -> dict[str, int]:
    """Return how many entries of each code nobody decided on yet."""
    return {row.code: row.rows for row in await connection.execute(_BY_CODE)}


def _require_signed(by: str, reason: str = "—" * LEAST_REASON) -> None:
    if not by.strip() or len(reason.strip()) < LEAST_REASON:
        raise Unsigned


async def _open(connection: AsyncConnection, ids: Sequence[str], *, states: Sequence[str]) -> list[str]:
    return list((await connection.execute(_OPEN, {"ids": list(ids), "states": list(states)})).scalars())


async def _decide(
    connection: AsyncConnection,
    facts: Mapping[str, Mapping[str, Any] | None],
    *,
    action: str,
    by: str,
    reason: str | None = None,
) -> None:
    """Keep who decided what; ``facts`` by the entry they are about."""
    said = [None if each is None else json.dumps(each) for each in facts.values()]
    decided = {"ids": list(facts), "facts": said, "action": action, "by": by, "reason": reason}
    await connection.execute(_DECIDE, decided)
