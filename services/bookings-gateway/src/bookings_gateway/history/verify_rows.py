"""Row by row: each booking's outcome, its hash, and that every form of contact is kept."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.domain import Layout, read_row
from bookings_gateway.history.checks import Findings
from bookings_gateway.history.evidence import Review
from bookings_gateway.history.items import Item, Setting, SourceRow, as_read, item_of
from bookings_gateway.history.others import Others
from bookings_gateway.history.source import Source
from bookings_gateway.history.verify_totals import Due
from shared.contracts import BookingSnapshot
from shared.emails import normalise_email

_PAGE = 2_000

# newest: the version somebody told after the import did, or alone; touched: somebody wrote the booking since the run
# began, be it before the import came to it. What waits to be told is nothing to compare a row with yet.
_LEDGER_OF = text(
    """
    SELECT wanted.id AS booking_id, l.outcome, l.sha256, l.sequence, l.status, l.class AS class_, l.amount, l.month,
           l.refunded, l.reviews, l.link_outcome, l.payment_outcome, l.payments,
           CAST(coalesce(l.user_id, u.user_id) AS text) AS user_id,
           CASE WHEN e.newest > coalesce(l.sequence, 0) THEN e.newest END AS newest,
           coalesce(e.touched, false) OR c.waits AS touched, c.waits
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    LEFT JOIN import_ledger l ON l.booking_id = wanted.id
    LEFT JOIN booking_user u ON u.booking_id = wanted.id
    CROSS JOIN LATERAL (
        SELECT max(e.sequence) AS newest, bool_or(e.recorded_at >= :since) AS touched
        FROM event_log e
        WHERE e.subject = wanted.id AND e.sequence <> coalesce(l.sequence, 0)  -- its own event need not be read
          AND coalesce(e.body #>> '{data,imported}', 'false') = 'false'
    ) e
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM booking_change g WHERE g.booking_id = wanted.id) AS waits) c
    """
)
_VERSIONS = text(
    """
    SELECT l.subject, l.type, l.time, CAST(l.body -> 'data' AS text) AS data
    FROM unnest(CAST(:ids AS text[]), CAST(:sequences AS bigint[])) AS v (id, sequence)
    JOIN event_log l ON l.subject = v.id AND l.sequence = v.sequence
    """
)
# What a correction said is nowhere in the row, and goes with the clean-up or an erasure: its event has what was told.
_CORRECTED = text("SELECT DISTINCT subject FROM import_decision WHERE action = 'fix'")
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
    ``statuses`` the rows nobody touched. ``unpaid`` wait for a payment, and are right if a person gave it to another.
    ``users``: when each one's bookings were made, and by how much a correction changed what was told of them.
    """

    engine: AsyncEngine
    others: Others
    found: Findings
    since: datetime
    touched: int = 0
    unpaid: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    users: dict[str, Due] = field(default_factory=lambda: defaultdict(Due))
    kept: set[bytes] = field(default_factory=set)
    _corrected: frozenset[str] = frozenset()

    async def run(self, source: Source, setting: Setting) -> None:
        """Judge people, then rows, page by page, each in a transaction of its own."""
        alone = replace(setting, intent_owners={})
        await self._people()
        async with self.engine.connect() as connection:
            self._corrected = frozenset((await connection.execute(_CORRECTED)).scalars())
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
            versions = await _versions(connection, {id_: self._wanted(entry) for id_, entry in ledger.items()})
        for row in rows:
            entry = ledger[row.booking_id]
            if _is_entered(entry):
                self._judge_outcome(row, entry)
            else:  # not the import's: a live writer's, by what the import goes by, or left to do
                self.found.judge("V1", row.booking_id, ok=row.booking_id in told and entry["user_id"] is not None)
            self._judge_touched(row, entry, setting.layout)
            version = versions.get(row.booking_id)
            if entry["newest"] and version:
                self._judge_told(row, entry, version, setting)
            elif _is_entered(entry) and not entry["waits"]:
                self._judge_imported(row, entry, setting, corrected=version)
        return rows

    def _wanted(self, entry: RowMapping) -> int | None:
        """The version a row is held against; ``None`` for what the import made of the row alone."""
        if entry["waits"]:
            return None
        own: int | None = entry["sequence"] if entry["booking_id"] in self._corrected else None
        newest: int | None = entry["newest"]
        return newest or own

    def _judge_outcome(self, row: SourceRow, entry: RowMapping) -> None:
        is_right = entry["link_outcome"] != "waiting" and (entry["payments"] or 0) <= 1
        if is_right and entry["payment_outcome"] in {"waiting", "matched_by_hand"}:
            self.unpaid.append(row.booking_id)
        else:
            self.found.judge("V1", row.booking_id, ok=is_right)

    def _judge_touched(self, row: SourceRow, entry: RowMapping, layout: Layout) -> None:
        """Count a row nobody touched by its status: V11 compares how many of each there are, too."""
        if entry["touched"] or not _is_entered(entry):
            self.touched += 1
            return
        status = read_row(row.text)[layout.status]
        self.statuses["(none)" if status is None else str(status)] += 1

    def _judge_imported(
        self, row: SourceRow, entry: RowMapping, setting: Setting, *, corrected: "Version | None"
    ) -> None:
        """A row of which nobody told since is as the import read it, and was told as it is, or as it was corrected."""
        self.found.judge("V2", row.booking_id, ok=bytes(entry["sha256"]) == row.sha256)
        if entry["outcome"] != "published":
            return
        item = item_of(row, setting)
        told = corrected.booking if corrected else item.snapshot
        self.found.judge("V11", row.booking_id, ok=told is not None and entry["status"] == told.status)
        contact = list(told.contact.model_dump().values()) if told else []
        is_kept = _digest(entry["user_id"], contact) in self.kept
        self.found.judge("V7", row.booking_id, ok=is_kept or not any(contact))
        as_entered = entry["amount"] == corrected.booking.final_amount if corrected else _is_as_entered(item, entry)
        self.found.judge("V5", row.booking_id, ok=as_entered)
        self._count(entry, (told and told.created_at) or (corrected.time if corrected else item.time))
        if corrected:
            self._count_correction(row, entry, corrected, setting)

    def _count(self, entry: RowMapping, booked: datetime | None) -> None:
        if entry["user_id"] and booked:
            self.users[entry["user_id"]].booked(booked)

    def _count_correction(self, row: SourceRow, entry: RowMapping, corrected: "Version", setting: Setting) -> None:
        written = as_read(replace(row, correction=None), setting)
        told = corrected.booking.final_amount or Decimal(0)
        if entry["user_id"]:
            self.users[entry["user_id"]].spent += told - ((written and written.final_amount) or Decimal(0))

    def _judge_told(self, row: SourceRow, entry: RowMapping, told: "Version", setting: Setting) -> None:
        """A row somebody told of since is as it was told last: one change in the open excuses no other in silence."""
        now = _as_told(row, setting)
        contact = told.booking.contact
        self.found.judge("V2", row.booking_id, ok=now == told.booking and not told.deleted)
        self.found.judge("V11", row.booking_id, ok=now is not None and now.status == told.booking.status)
        self.found.judge("V5", row.booking_id, ok=now is not None and _money(now) == _money(told.booking))
        self._count(entry, told.booking.created_at or told.time)
        # One without a usable address is kept as somebody's of its own, while the booking stays whose it was.
        is_kept = _digest(entry["user_id"], list(contact.model_dump().values())) in self.kept
        is_same = now is not None and now.contact == contact
        self.found.judge("V7", row.booking_id, ok=is_same and (is_kept or not normalise_email(contact.email)))


@dataclass(frozen=True, slots=True)
class Version:
    """What was told of a booking, and when that happened."""

    booking: BookingSnapshot
    time: datetime
    deleted: bool


def _as_told(row: SourceRow, setting: Setting) -> BookingSnapshot | None:
    """Return what a row says, as an event would carry it: in its zone, a time that a clock shows twice equals none."""
    now = as_read(replace(row, correction=None), setting)
    return now and BookingSnapshot.model_validate_json(now.model_dump_json())


async def _versions(connection: AsyncConnection, wanted: Mapping[str, int | None]) -> dict[str, Version]:
    """Return these versions of bookings, of those of which one is wanted."""
    asked = {id_: sequence for id_, sequence in wanted.items() if sequence is not None}
    if not asked:
        return {}
    found = await connection.execute(_VERSIONS, {"ids": list(asked), "sequences": list(asked.values())})
    return {
        row.subject: Version(
            BookingSnapshot.model_validate_json(row.data), row.time, deleted=row.type == "booking.deleted"
        )
        for row in found
    }


def _money(booking: BookingSnapshot) -> tuple[object, ...]:
    return booking.final_amount, booking.payment_date, booking.payment_method, booking.payment_reference


def _is_entered(entry: RowMapping) -> bool:
    return entry["outcome"] not in {None, "withdrawn"}


def _is_as_entered(item: Item, entry: RowMapping) -> bool:
    """Whether the row, read alone, comes to the money the ledger has for it.

    That another row goes first with its PaymentIntent no row says by itself.
    """
    if Review.INTENT_SHARED in entry["reviews"]:
        return bool(item.amount == entry["amount"])
    entered = (entry["class_"], entry["amount"], entry["month"], entry["refunded"])
    return (item.class_, item.amount, item.month, item.refunded) == entered


def _digest(user: str | None, values: Sequence[object]) -> bytes:
    told = "\x00".join("" if value is None else f"={value}" for value in [user, *values])
    return blake2b(told.encode(), digest_size=16).digest()
