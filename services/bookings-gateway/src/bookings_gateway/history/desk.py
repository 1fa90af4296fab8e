"""The error desk: rows set aside and rows for review, by code; corrected, waived with a reason and a name, or retried.

Captured changes no event could be made of stand here too, under the code ``change_unreadable``. Each decision is kept.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.history.errors import NoSuchItem, RefusedAgain
from bookings_gateway.history.importer import Importer
from bookings_gateway.history.move import History
from shared.database import describe, is_transient

CHANGE_UNREADABLE = "change_unreadable"

# A change that was set aside is named by its number: change:17. A review is open until somebody waived it.
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
        SELECT booking_id, booking_id, CASE WHEN decided_by IS NULL THEN 'review' ELSE 'reviewed' END,
               array_to_string(reviews, ','), class, attempts, imported_at, decided_by, reason
        FROM import_item WHERE outcome = 'published' AND reviews <> '{}'
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
        UNION ALL SELECT unnest(reviews) FROM import_item WHERE outcome = 'published' AND decided_by IS NULL
    ) e GROUP BY code ORDER BY code
    """
)
_SHOW = text("SELECT * FROM import_ledger WHERE booking_id = :id")
_DECISIONS = text("SELECT action, reason, decided_by, decided_at FROM import_decision WHERE subject = :id ORDER BY id")
_WAIVE = text(
    """
    UPDATE import_item SET outcome = CASE outcome WHEN 'set_aside' THEN 'waived' ELSE outcome END,
                           decided_by = :by, decided_at = now(), reason = :reason
    WHERE booking_id = ANY(CAST(:ids AS text[]))
      AND (outcome = 'set_aside' OR (outcome = 'published' AND reviews <> '{}'))
    RETURNING booking_id
    """
)
_WAIVE_CHANGES = text(
    """
    DELETE FROM booking_change_failed WHERE 'change:' || seq = ANY(CAST(:ids AS text[]))
    RETURNING 'change:' || seq AS id, op, booking_id, changed_at, error
    """
)
# A change goes back under its own number, in front of what came after it, unless that was told meanwhile: by a later
# change, or by the import, which read the row as it then was. Runs in capture's turn, as a statement of its own after
# it: no event is made meanwhile, and a writer still open gets a higher number than any here.
_RETRY_CHANGES = text(
    """
    WITH asked AS (
        DELETE FROM booking_change_failed WHERE 'change:' || seq = ANY(CAST(:ids AS text[])) RETURNING *
    ), back AS (
        INSERT INTO booking_change (seq, op, booking_id, row, changed_at) OVERRIDING SYSTEM VALUE
        SELECT b.seq, b.op, b.booking_id, b.row, b.changed_at FROM asked b
        WHERE NOT EXISTS (SELECT FROM event_log l WHERE l.subject = b.booking_id AND l.time > b.changed_at)
          AND NOT EXISTS (SELECT FROM booking_change c WHERE c.booking_id = b.booking_id AND c.seq > b.seq)
          AND NOT EXISTS (SELECT FROM import_item i WHERE i.booking_id = b.booking_id AND i.outcome = 'published'
                                                      AND i.imported_at > b.failed_at)
        RETURNING seq
    )
    SELECT 'change:' || seq AS id, seq IN (SELECT seq FROM back) AS is_back FROM asked ORDER BY seq
    """
)
_CORRECT = text(
    """
    UPDATE import_item
    SET correction = CAST(coalesce(CAST(correction AS jsonb), '{}') || CAST(:columns AS jsonb) AS json)
    WHERE booking_id = :id AND outcome IN ('set_aside', 'waived')
    """
)
_DECIDE = text(
    """
    INSERT INTO import_decision (subject, action, reason, decided_by, facts)
    SELECT subject, :action, :reason, :by, CAST(:facts AS json) FROM unnest(CAST(:ids AS text[])) AS subject
    """
)
_IDS = text(
    """
    SELECT booking_id FROM import_item
    WHERE (outcome = 'set_aside' AND code = :code)
       OR (outcome = 'published' AND reviews <> '{}' AND decided_by IS NULL AND CAST(:code AS text) = ANY(reviews))
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
            return {row.code: row.rows for row in await connection.execute(_BY_CODE)}

    async def find(
        self, *, states: Sequence[str], code: str | None = None, after: str = "", limit: int = 100
    ) -> list[RowMapping]:
        """Return entries in the order of their ids: ``set_aside``, ``waived``, ``review``, ``reviewed``."""
        criteria = {"states": list(states), "code": code, "after": after, "limit": limit}
        async with self.engine.connect() as connection:
            return list((await connection.execute(_FIND, criteria)).mappings())

    async def show(self, id_: str) -> dict[str, Any]:
        """Return an entry with its row and what was decided; raises :class:`NoSuchItem`."""
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

    async def waive(self, ids: Sequence[str], *, by: str, reason: str) -> int:
        """Decide that these are left as they are; return how many were open."""
        async with self.engine.begin() as connection:
            waived = list((await connection.execute(_WAIVE, {"ids": list(ids), "by": by, "reason": reason})).scalars())
            dropped = (await connection.execute(_WAIVE_CHANGES, {"ids": list(ids)})).mappings().all()
            done = [*waived, *(row["id"] for row in dropped)]
            await _decide(connection, done, action="waive", by=by, reason=reason, facts=None)
        return len(done)

    async def correct(self, id_: str, columns: Mapping[str, Any], *, by: str, reason: str) -> None:
        """Say what a row set aside should have said, and try it again. The legacy row itself stays as it is."""
        if not await self._open([id_], states=("set_aside", "waived")):
            raise NoSuchItem(f"No booking {id_!r} is set aside.")
        async with self._holding() as (connection, importer):
            await connection.execute(_CORRECT, {"id": id_, "columns": json.dumps(columns)})
            await _decide(connection, [id_], action="fix", by=by, reason=reason, facts=columns)
            await _decide(connection, [id_], action="retry", by=by, reason=None, facts=None)
            await importer.again(connection, [id_])

    async def retry(self, ids: Sequence[str], *, by: str) -> Retried:
        """Try these again as they are now. Raises ``ImportHeld`` while an import runs, with nothing decided."""
        bookings = await self._again(ids, by=by)
        changes, superseded = await self._put_back([id_ for id_ in ids if id_.startswith("change:")], by=by)
        return Retried(bookings + changes, superseded)

    async def _put_back(self, ids: Sequence[str], *, by: str) -> tuple[int, int]:
        """Have changes captured again; return how many, and how many a newer version made needless."""
        if not ids:
            return 0, 0
        async with self.engine.begin() as connection:
            await self.history.capture.capture_first(connection, self.history.name)
            rows = (await connection.execute(_RETRY_CHANGES, {"ids": list(ids)})).all()
            back = [row.id for row in rows if row.is_back]
            superseded = [row.id for row in rows if not row.is_back]
            await _decide(connection, back, action="retry", by=by, reason=None, facts=None)
            await _decide(connection, superseded, action="superseded", by=by, reason=None, facts=None)
        return len(back), len(superseded)

    async def _again(self, ids: Sequence[str], *, by: str) -> int:
        """Tell those that are set aside again, and nothing else; return how many rows there were."""
        if not (open_ := await self._open(ids)):
            return 0
        async with self._holding() as (connection, importer):
            await _decide(connection, open_, action="retry", by=by, reason=None, facts=None)
            return await importer.again(connection, open_)

    async def _open(self, ids: Sequence[str], *, states: Sequence[str] = ("set_aside",)) -> list[str]:
        async with self.engine.connect() as connection:
            found = await connection.execute(_OPEN, {"ids": list(ids), "states": list(states)})
            return list(found.scalars())

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


async def _decide(
    connection: AsyncConnection,
    ids: Sequence[str],
    *,
    action: str,
    by: str,
    reason: str | None,
    facts: Mapping[str, Any] | None,
) -> None:
    said = {"action": action, "by": by, "reason": reason, "facts": json.dumps(facts) if facts else None}
    await connection.execute(_DECIDE, {"ids": list(ids), **said})
