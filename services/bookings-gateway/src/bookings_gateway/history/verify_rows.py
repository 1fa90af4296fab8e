"""Row by row: each booking's outcome, its hash, and that every form of contact is kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import Layout, read_row
from bookings_gateway.history.checks import Findings
from bookings_gateway.history.evidence import Class, Review
from bookings_gateway.history.items import Item, Setting, SourceRow, item_of
from bookings_gateway.history.others import Others
from bookings_gateway.history.source import Source
from shared.emails import normalise_email

_PAGE = 2_000

# later: somebody changed the booking after it was imported, or made it while the import ran; touched: somebody wrote
# it since the run began, be it before the import came to it.
_LEDGER_OF = text(
    """
    SELECT wanted.id AS booking_id, l.outcome, l.sha256, l.status, l.class AS class_, l.amount, l.month, l.refunded,
           l.reviews, l.link_outcome, l.payment_outcome, l.payments,
           CAST(coalesce(l.user_id, u.user_id) AS text) AS user_id,
           coalesce(e.later, false) OR c.waits AS later, coalesce(e.touched, false) OR c.waits AS touched
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    LEFT JOIN import_ledger l ON l.booking_id = wanted.id
    LEFT JOIN booking_user u ON u.booking_id = wanted.id
    CROSS JOIN LATERAL (
        SELECT bool_or(e.sequence > coalesce(l.sequence, 0)) AS later, bool_or(e.recorded_at >= :since) AS touched
        FROM event_log e
        WHERE e.subject = wanted.id AND e.sequence <> coalesce(l.sequence, 0)  -- its own event need not be read
          AND coalesce(e.body #>> '{data,imported}', 'false') = 'false'
    ) e
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM booking_change g WHERE g.booking_id = wanted.id) AS waits) c
    """
)
# Bookings live writers removed since the run began, told so or about to be.
_REMOVED = """
    SELECT count(*) FROM (
        SELECT l.subject AS id FROM gateway.event_log l
        WHERE l.type = 'booking.deleted' AND l.recorded_at >= :since
          AND coalesce(l.body #>> '{{data,imported}}', 'false') = 'false'
        UNION SELECT g.booking_id FROM gateway.booking_change g WHERE g.op = 'D'
    ) d WHERE NOT EXISTS (SELECT FROM {table} b WHERE CAST(b.{id} AS text) = d.id)
"""


@dataclass(slots=True)
class RowChecks:
    """Judges every row of the table.

    ``since`` is the run's beginning; ``touched`` counts the bookings live writers made, changed or removed after it,
    ``statuses`` the rows nobody touched.
    """

    engine: AsyncEngine
    others: Others
    found: Findings
    since: datetime
    touched: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    kept: set[bytes] = field(default_factory=set)

    async def run(self, source: Source, setting: Setting) -> None:
        """Judge people, then rows, page by page, each in a transaction of its own."""
        alone = replace(setting, intent_owners={})
        await self._people()
        position: str | None = None
        while rows := await self._page(source, alone, position):
            position = rows[-1].booking_id
        async with self.engine.connect() as connection:
            removed = await connection.execute(source.statement(_REMOVED), {"since": self.since})
            self.touched += removed.scalar_one()

    async def _people(self) -> None:
        """Take in who everybody is at users, as hashes: a million people fit."""
        seen: set[str] = set()
        async for person in self.others.people():
            email = person["email"]
            if email is not None:
                self.found.judge("V4", person["id"], ok=email not in seen and normalise_email(email) == email)
                seen.add(email)
            for variant in person["variants"]:
                self.kept.add(_digest(person["id"], variant))

    async def _page(self, source: Source, setting: Setting, position: str | None) -> list[SourceRow]:
        async with self.engine.connect() as connection:
            rows = await source.page(connection, after=position, rows=_PAGE)
            ids = [row.booking_id for row in rows]
            found = await connection.execute(_LEDGER_OF, {"ids": ids, "since": self.since})
            ledger = {row["booking_id"]: row for row in found.mappings()}
            others = [id_ for id_, entry in ledger.items() if not _is_entered(entry)]
            told = await source.told(connection, others, since=self.since) if others else set()
        for row in rows:
            if _is_entered(ledger[row.booking_id]):
                self._judge(row, ledger[row.booking_id], setting)
            else:  # not the import's: a live writer's, by what the import goes by, or left to do
                self.touched += 1
                is_told = row.booking_id in told and ledger[row.booking_id]["user_id"] is not None
                self.found.judge("V1", row.booking_id, ok=is_told)
        return rows

    def _judge(self, row: SourceRow, entry: RowMapping, setting: Setting) -> None:
        waiting = "waiting" in {entry["link_outcome"], entry["payment_outcome"]}
        self.found.judge("V1", row.booking_id, ok=not waiting and (entry["payments"] or 0) <= 1)
        self.found.judge("V2", row.booking_id, ok=entry["later"] or bytes(entry["sha256"]) == row.sha256)
        item = item_of(replace(row, known=False), setting)
        self._judge_status(row, entry, item, setting.layout)
        if entry["outcome"] == "published" and not entry["later"]:
            contact = list(item.snapshot.contact.model_dump().values()) if item.snapshot else []
            is_kept = _digest(entry["user_id"], contact) in self.kept
            self.found.judge("V7", row.booking_id, ok=is_kept or not any(contact))
            self.found.judge("V5", row.booking_id, ok=_is_as_entered(item, entry))

    def _judge_status(self, row: SourceRow, entry: RowMapping, item: Item, layout: Layout) -> None:
        """A row nobody touched has the status it was told with; V11 compares how many of each there are, too."""
        if entry["touched"]:
            self.touched += 1
            return
        status = read_row(row.text)[layout.status]
        self.statuses["(none)" if status is None else str(status)] += 1
        is_same = entry["outcome"] != "published" or entry["status"] == item.status
        self.found.judge("V11", row.booking_id, ok=is_same)


def _is_entered(entry: RowMapping) -> bool:
    return entry["outcome"] not in {None, "withdrawn"}


def _is_as_entered(item: Item, entry: RowMapping) -> bool:
    """Whether the row, read alone, comes to the money the ledger has for it.

    That another row goes first with its PaymentIntent, or that its money was here before, no row says by itself.
    """
    if entry["class_"] == Class.KNOWN or Review.INTENT_SHARED in entry["reviews"]:
        return bool(item.amount == entry["amount"])
    entered = (entry["class_"], entry["amount"], entry["month"], entry["refunded"])
    return (item.class_, item.amount, item.month, item.refunded) == entered


def _digest(user: str | None, values: Sequence[object]) -> bytes:
    told = "\x00".join("" if value is None else f"={value}" for value in [user, *values])
    return blake2b(told.encode(), digest_size=16).digest()
