"""The verification: every booking, every payment, every person, every sum; complete, never sampled.

What other services hold is asked of them, not read from copies here. Meaningful once everything has settled; before,
what is still on its way shows as a difference.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway.history import runs
from bookings_gateway.history.checks import MOST_ROWS, Check, Findings, of_rows, of_values
from bookings_gateway.history.move import History
from bookings_gateway.history.others import Others
from bookings_gateway.history.source import Source
from bookings_gateway.history.steps import note_step
from bookings_gateway.history.verify_answers import check_answers
from bookings_gateway.history.verify_money import MoneyChecks
from bookings_gateway.history.verify_queues import waiting
from bookings_gateway.history.verify_rows import RowChecks
from bookings_gateway.history.verify_totals import Totals

_GONE = """
    SELECT i.booking_id FROM gateway.import_item i
    WHERE i.outcome <> 'withdrawn' AND NOT EXISTS (SELECT FROM {table} b WHERE CAST(b.{id} AS text) = i.booking_id)
      AND NOT EXISTS (SELECT FROM gateway.event_log l WHERE l.subject = i.booking_id AND l.type = 'booking.deleted'
                      AND l.sequence > coalesce(i.sequence, 0))
"""
_ITEM_COUNT = text("SELECT count(*) FROM import_item WHERE outcome <> 'withdrawn'")
_OPEN = text("SELECT booking_id FROM import_item WHERE outcome = 'set_aside'")
_LAST_STEP = text("SELECT passed, evidence, done_at FROM migration_step WHERE step = :step ORDER BY id DESC LIMIT 1")


_FOR_PEOPLE = frozenset(["V12", "V13"])
_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks, the money line by line, and bookings of which Stripe and the row say different amounts."""

    checks: Sequence[Check]
    money: Sequence[Mapping[str, Any]]
    disagreeing: Sequence[str]
    verified_at: datetime

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def agrees(self) -> bool:
        """Whether all that events bring has come; what is open beyond that waits for people."""
        return all(check.passed for check in self.checks if check.name not in _FOR_PEOPLE)

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "verified_at": self.verified_at.isoformat(),
            "checks": [check.as_json() for check in self.checks],
            "money": list(self.money),
            "disagreeing": list(self.disagreeing),
        }


async def verified(history: History, others: Others, *, wait: float = 0) -> Verification:
    """Check everything, again for so many seconds while events may come, and keep the outcome for whoever looks.

    Commits. Raises what :func:`verify` raises.
    """
    deadline = time.monotonic() + wait
    while True:
        result = await verify(history, others)
        if result.agrees or time.monotonic() > deadline:
            break
        await asyncio.sleep(_AGAIN_SECONDS)
    checks = [{"name": check.name, "passed": check.passed} for check in result.checks]
    await note_step(history.engine, "verify", passed=result.passed, evidence={"checks": checks})
    return result


async def verify(history: History, others: Others) -> Verification:
    """Check everything; raises ``NoRun``, or ``PartSilent`` when a service cannot be asked."""
    found = Findings()
    async with history.engine.connect() as connection:
        run = await runs.required(connection)
        source = await history.source(connection)
        setting = await source.setting(connection, currency=history.currency, zone=history.zone, now=run["started_at"])
    rows = RowChecks(history.engine, others, found, run["started_at"])
    money = MoneyChecks(history.engine, others, found)
    totals = Totals(history.currency)
    try:
        async with asyncio.TaskGroup() as looks:  # each waits mostly for a database or a service
            looks.create_task(rows.run(source, setting))
            looks.create_task(money.run())
            looks.create_task(totals.ask(history.engine, source, others))
            answers = looks.create_task(_answers(history, source))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    for booking_id in rows.unpaid:
        found.judge("V1", booking_id, ok=booking_id in money.elsewhere)
    queues = await waiting(history.engine, others)
    async with history.engine.connect() as connection:
        statuses = _statuses(runs.plan_of(run)["statuses"], rows)
        checks = [
            _outcomes(found, run["state"]),
            found.check("V2", "every row is as it was read, or its change is a later event"),
            await _sources(connection, source),
            found.check("V4", "every normalised e-mail is one user's", nouns="users"),
            money.balance(),
            found.check("V6", "every payment belongs to its booking's user", nouns="payments"),
            found.check("V7", "every distinct form of contact is kept"),
            *totals.checks(rows.users),
            queues.check(),
            answers.result(),
            statuses,
            *await _decided(connection),
        ]
    return Verification(checks, money.as_json(), money.disagreeing, datetime.now(UTC))


async def _answers(history: History, source: Source) -> Check:
    async with history.engine.connect() as connection:
        return await check_answers(connection, history, source)


def _outcomes(found: Findings, state: str) -> Check:
    """Rows left are wrong one by one; a run that has not ended proves nothing of those that come."""
    check = found.check("V1", "the import has ended: every source booking has exactly one final outcome per stage")
    if state == "imported":
        return check
    return replace(check, passed=False, actual=f"{check.actual}, and the import is {state.replace('_', ' ')}")


async def _sources(connection: AsyncConnection, source: Source) -> Check:
    gone = (await connection.execute(source.statement(_GONE))).scalars().all()
    items = int((await connection.execute(_ITEM_COUNT)).scalar_one())
    return of_rows("V3", "nothing was imported without its source", right=items - len(gone), wrong=gone)


def _statuses(before: Mapping[str, int], rows: RowChecks) -> Check:
    """Row by row for what nobody touched; and what is missing to the counts before are rows somebody did touch."""
    rest = Counter(before)
    rest.subtract(rows.statuses)
    too_many = {status: -count for status, count in rest.items() if count < 0}
    wrong = rows.found.wrong["V11"]
    others = [f"{status} {count:+d}" for status, count in sorted(too_many.items())]
    if rest.total() > rows.touched:
        others.append(f"{rest.total() - rows.touched:,} rows are missing")
    shown = ", ".join([*([f"{len(wrong):,} rows differ"] if wrong else []), *others]) or "no difference"
    claim = f"statuses are as before, row by row ({rows.touched:,} rows were written live since)"
    return Check("V11", claim, "no difference", shown, not wrong and not others, sorted(wrong)[:MOST_ROWS], len(wrong))


async def _decided(connection: AsyncConnection) -> list[Check]:
    open_ = (await connection.execute(_OPEN)).scalars().all()
    rehearsal = (await connection.execute(_LAST_STEP, {"step": "rehearse"})).one_or_none()
    return [
        of_values("V12", "nothing is set aside that nobody decided on", 0, len(open_), rows=open_),
        of_values(
            "V13",
            "a rollback on a copy gave the table's checksum back",
            "rehearsed",
            "rehearsed" if rehearsal and rehearsal.passed else "failed" if rehearsal else "not rehearsed",
        ),
    ]
