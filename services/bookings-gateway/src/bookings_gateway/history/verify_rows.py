"""Row by row: each booking's outcome, its hash, and that every form of contact is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.domain import Layout, read_contact, read_row
from bookings_gateway.history.checks import Findings
from bookings_gateway.history.items import Setting, SourceRow
from bookings_gateway.history.others import Others
from bookings_gateway.history.source import Source
from shared.emails import normalise_email

_PAGE = 2_000

# later: somebody changed the booking after it was imported; live_born: it was made while the import ran, told live.
_LEDGER_OF = text(
    """
    SELECT wanted.id AS booking_id, l.outcome, l.sha256, l.class AS class_, l.amount, l.status, l.link_outcome,
           l.payment_outcome, l.payments, CAST(coalesce(l.user_id, u.user_id) AS text) AS user_id,
           EXISTS (SELECT FROM event_log e WHERE e.subject = wanted.id AND e.sequence > coalesce(l.sequence, 0)
                   AND coalesce(e.body #>> '{data,imported}', 'false') = 'false'
                   UNION ALL SELECT FROM booking_change c WHERE c.booking_id = wanted.id) AS later
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    LEFT JOIN import_ledger l ON l.booking_id = wanted.id
    LEFT JOIN booking_user u ON u.booking_id = wanted.id
    """
)


@dataclass(slots=True)
class RowChecks:
    """Judges every row of the table. ``touched`` counts those live writers changed since, or made."""

    engine: AsyncEngine
    others: Others
    found: Findings
    touched: int = 0
    kept: set[bytes] = field(default_factory=set)

    async def run(self, source: Source, setting: Setting) -> None:
        """Judge people, then rows, page by page, each in a transaction of its own."""
        await self._people()
        position: str | None = None
        while rows := await self._page(source, setting, position):
            position = rows[-1].booking_id

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
            found = await connection.execute(_LEDGER_OF, {"ids": [row.booking_id for row in rows]})
            ledger = {row["booking_id"]: row for row in found.mappings()}
        for row in rows:
            self._judge(row, ledger[row.booking_id], setting.layout)
        return rows

    def _judge(self, row: SourceRow, entry: RowMapping, layout: Layout) -> None:
        if entry["outcome"] in {None, "withdrawn"}:  # not the import's: a live event told it, or nobody did
            self.touched += 1
            self.found.judge("V1", row.booking_id, ok=bool(entry["later"] and entry["user_id"]))
            return
        waiting = "waiting" in {entry["link_outcome"], entry["payment_outcome"]}
        self.found.judge("V1", row.booking_id, ok=not waiting and (entry["payments"] or 0) <= 1)
        self.found.judge("V2", row.booking_id, ok=entry["later"] or bytes(entry["sha256"]) == row.sha256)
        self.touched += bool(entry["later"])
        if entry["outcome"] == "published" and not entry["later"]:
            contact = _contact(row, layout)
            is_kept = _digest(entry["user_id"], contact) in self.kept
            self.found.judge("V7", row.booking_id, ok=is_kept or not any(contact))


def _contact(row: SourceRow, layout: Layout) -> list[str | None]:
    """The contact as it was told."""
    raw = {**read_row(row.text), **(row.correction or {})}
    return list(read_contact(raw, layout).model_dump().values())


def _digest(user: str | None, values: Sequence[object]) -> bytes:
    told = "\x00".join("" if value is None else f"={value}" for value in [user, *values])
    return blake2b(told.encode(), digest_size=16).digest()
