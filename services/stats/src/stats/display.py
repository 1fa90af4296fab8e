"""What operators are told: outcomes and status."""

import json
from collections.abc import Mapping
from typing import Any

import aiormq
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.channel import BROKER_TROUBLE, ReopeningChannel
from shared.cli import console, print_rows
from stats.service.compare import FINGERPRINTS
from stats.service.partial import UserRebuilt
from stats.service.rebuild import Outcome
from stats.service.status import Status

_SHOWN = 20
_DIFFERENCES = text(
    "SELECT user_id, live, rebuilt FROM rebuild_difference WHERE rebuild_id = :id ORDER BY user_id LIMIT :limit"
)


async def print_outcome(engine: AsyncEngine, outcome: Outcome) -> None:
    """Say what a rebuild found and did."""
    run = outcome.run
    if outcome.described:
        figures = {key: value for key, value in outcome.described.items() if key not in FINGERPRINTS}
        console.print_json(json.dumps(figures, default=str))
    async with engine.connect() as connection:
        rows = (await connection.execute(_DIFFERENCES, {"id": run.id, "limit": _SHOWN})).all()
    for user_id, live, rebuilt in rows:
        _say(f"{user_id}: {_difference(live, rebuilt)}")
    if outcome.differences > len(rows):
        console.print(f"… all of them stand in the table rebuild_difference, rebuild_id {run.id}", soft_wrap=True)
    console.print(_verdict(outcome), soft_wrap=True)


def _difference(live: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> str:
    """Each figure that differs, as [live, rebuilt]; fingerprints only when nothing else does."""
    changed = {key: [live.get(key), value] for key, value in rebuilt.items() if live.get(key) != value}
    figures = {key: values for key, values in changed.items() if key not in FINGERPRINTS}
    return json.dumps(figures, default=str) if figures else f"other {' and '.join(changed)}, of the same number"


def _verdict(outcome: Outcome) -> str:
    found = f"{outcome.differences:,} users differ" if outcome.differences else "no differences"
    if outcome.switched:
        return (
            f"{found}; {outcome.run.schema} is live, {outcome.announced:,} users' totals announced; "
            f"live events waited {outcome.switch_ms:.0f} ms. `stats rollback` goes back."
        )
    return f"{found}; nothing was switched"


def print_user(result: UserRebuilt) -> None:
    """Say what the rebuild of one user found and did."""
    if not result.differences:
        console.print("no differences; nothing was replaced")
        return
    for user_id, (live, rebuilt) in result.differences.items():
        _say(f"{user_id}: {_difference(live, rebuilt)}")
    verb = "were replaced" if result.replaced else "differ; nothing was replaced"
    console.print(f"{len(result.differences)} users' statistics {verb}; {result.announced} announced")


async def queue_depths(url: str, name: str) -> Mapping[str, int | str]:
    """Return how many messages wait in the service's queues, or why that is unknown."""
    probe = ReopeningChannel(url)
    depths: dict[str, int | str] = {}
    try:
        for queue in (f"{name}.events", f"{name}.bulk"):
            try:
                declared = await (await probe.get()).queue_declare(queue, passive=True)
                depths[queue] = declared.message_count or 0
            except aiormq.exceptions.ChannelNotFoundEntity:
                depths[queue] = "no such queue yet"
            except (ConnectionError, *BROKER_TROUBLE):
                depths[queue] = "the broker cannot be reached"
    finally:
        await probe.aclose()
    return depths


def print_status(status: Status, depths: Mapping[str, int | str]) -> None:
    """Show everything, the live generation first."""
    for row in status.generations:
        state = f"live since {row['live_since']:%F %T %Z}" if row["live"] else _other(row["retired_at"])
        console.print(f"generation: {row['schema']}, {state}", highlight=False)
    journal = status.journal
    newest = f"{journal['last_received']:%F %T %Z}" if journal["last_received"] else "nothing yet"
    number, rows = journal["last_seq"] or 0, int(journal["about_rows"] or 0)
    _say(f"journal: newest number {number:,}, received {newest}, about {rows:,} rows")
    _say(f"lag: {_lag(status)}")
    _say(f"backlog: {', '.join(f'{queue} {depth}' for queue, depth in depths.items())}")
    _say(f"to announce: {journal['to_announce']:,} users; outbox: {journal['outbox']:,} events")
    _say(f"fence: the oldest writing transaction is {float(journal['fence_age'] or 0):.1f} s old")
    _say(f"rebuild: {_rebuild(status)}")
    _say(f"drift: {_drift(status)}")
    _print_set_aside(status)


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _other(retired_at: object) -> str:
    return f"retired {retired_at:%F %T %Z}, for rollback" if retired_at else "being built"


def _lag(status: Status) -> str:
    if status.lag is None:
        return "unknown"
    middle, worst = status.lag.middle.total_seconds(), status.lag.worst.total_seconds()
    return f"of the newest events from their making to the journal: median {middle:.2f} s, worst {worst:.2f} s"


def _rebuild(status: Status) -> str:
    row = status.rebuild
    if row is None:
        return "none yet"
    told = f"{row['id']} ({row['purpose']}) by {row['operator']}, begun {row['started_at']:%F %T %Z}"
    if row["state"] != "running":
        return f"{told}, {row['state']} {row['finished_at']:%F %T %Z}"
    going = {"run": row["phase"], "pause": "paused", "cancel": "being cancelled"}[row["wish"]]
    if not status.rebuild_alive:
        going = f"INTERRUPTED in {row['phase']}: the same command goes on, `stats rebuild cancel` clears away"
    return f"{told}, {going}, {status.rebuild_share:.0%} of the bulk"


def _drift(status: Status) -> str:
    if status.drift is None:
        return "never compared; `stats verify` does"
    row = status.drift
    found = f"{row['differences'] or 0:,} users differed" if row["differences"] else "none"
    repaired = ", and were set right" if row["differences"] and row["purpose"] == "switch" else ""
    return f"{found}{repaired} ({row['purpose']}, {row['finished_at']:%F %T %Z})"


def _print_set_aside(status: Status) -> None:
    if not status.faults and not status.dead_letters:
        _say("set aside: nothing")
    if status.faults:
        _say("set aside in the journal (not counted until mended; SELECT * FROM journal WHERE fault IS NOT NULL):")
        print_rows([list(row.values()) for row in status.faults], ["reason", "rows", "first seq", "last seq"])
    if status.dead_letters:
        _say("set aside at the door (stats dead-letters list):")
        print_rows([list(row.values()) for row in status.dead_letters], ["reason", "events", "first id", "last id"])
    if status.negative_bookings:
        _say(f"noticed: {status.negative_bookings:,} booking events with a negative amount; counted as they are")
