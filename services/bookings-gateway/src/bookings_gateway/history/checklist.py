"""The customer's go-live checklist, step by step: evidence where a program sees it, else a person's name."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bookings_gateway.history import runs
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.move import History
from bookings_gateway.history.others import Others
from bookings_gateway.history.preflight import preflight
from bookings_gateway.history.progress import status
from bookings_gateway.history.steps import latest_steps, note_step
from bookings_gateway.history.verify import verified
from bookings_gateway.history.verify_queues import waiting

Evidence = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What a step looks at."""

    history: History
    others: Others


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the checklist. Without ``look`` only a person can say it."""

    name: str
    phase: str
    line: str
    look: Callable[[Look], Awaitable[tuple[bool, Evidence]]] | None = None


async def _backed_up(look: Look) -> tuple[bool, Evidence]:
    async with look.history.engine.connect() as connection:
        step = (await latest_steps(connection)).get("backup")
    return bool(step and step["passed"]), {"backup": step["done_at"].isoformat() if step else None}


async def _rehearsed(look: Look) -> tuple[bool, Evidence]:
    async with look.history.engine.connect() as connection:
        step = (await latest_steps(connection)).get("rehearse")
    return bool(step and step["passed"]), {"rehearsal": step["done_at"].isoformat() if step else None}


async def _looked_over(look: Look) -> tuple[bool, Evidence]:
    found = await preflight(look.history)
    return found.passed, found.as_json()


async def _imported(look: Look) -> tuple[bool, Evidence]:
    async with look.history.engine.connect() as connection:
        now = await status(connection, await look.history.source(connection))
    return now.state == "imported" and not now.counted.left, now.as_json()


async def _verified(look: Look) -> tuple[bool, Evidence]:
    result = await verified(look.history, look.others)
    return result.passed, result.as_json()


async def _linked(look: Look) -> tuple[bool, Evidence]:
    async with look.history.engine.connect() as connection:
        now = await status(connection, await look.history.source(connection))
    return now.settled and now.counted.stages["linked"] == now.counted.stages["published"], now.as_json()


async def _paid(look: Look) -> tuple[bool, Evidence]:
    result = await verified(look.history, look.others)
    balance = next(check for check in result.checks if check.name == "V5")
    return balance.passed, balance.as_json()


async def _quiet(look: Look) -> tuple[bool, Evidence]:
    found = await waiting(look.history.engine, look.others)
    return not found.given_up, found.check().as_json()


STEPS = (
    Step("backed-up", "before", "Full database backup", _backed_up),
    Step("rehearsed", "before", "Test migration scripts on staging; review rollback procedures", _rehearsed),
    Step("preflight", "before", "Nothing stands in the way", _looked_over),
    Step("rollback-reviewed", "before", "Review rollback procedures"),
    Step("team-told", "before", "Notify team of maintenance window (none is needed; announce it all the same)"),
    Step("imported", "during", "Run migration scripts in order", _imported),
    Step("verified", "during", "Verify data integrity at each step", _verified),
    Step("user-flows", "during", "Test critical user flows"),
    Step("error-logs", "during", "Monitor error logs", _quiet),
    Step("all-linked", "after", "Verify all bookings have users", _linked),
    Step("payments-recorded", "after", "Check payment records created", _paid),
    Step("endpoints", "after", "Test new API endpoints"),
    Step("documentation", "after", "Update documentation"),
    Step("flags", "after", "Remove feature flags"),
    Step("archive", "after", "Archive backup tables (here: the dump, with its end date)"),
)
NEEDED_TO_CONTRACT = tuple(step.name for step in STEPS)


def step_named(name: str) -> Step:
    """Return a step; raises ``NotReady`` with the names there are."""
    for step in STEPS:
        if step.name == name:
            return step
    raise NotReady(f"There is no step {name!r}. The steps are {', '.join(step.name for step in STEPS)}.")


async def do_step(look: Look, step: Step, *, name: str | None, note: str | None) -> tuple[bool, Evidence]:
    """Do a step and keep what came of it. A step only a person can do wants a name and a note."""
    if step.look is None:
        if not (name or "").strip() or not (note or "").strip():
            raise NotReady(f"Only a person can say {step.line!r}: add --name and --note.")
        await note_step(look.history.engine, step.name, passed=True, evidence={}, name=name, note=note)
        return True, {}
    passed, evidence = await step.look(look)
    await note_step(look.history.engine, step.name, passed=passed, evidence=evidence, name=name, note=note)
    return passed, evidence


async def missing_steps(history: History) -> list[str]:
    """Return the steps that were not done, or did not pass, since the import began."""
    async with history.engine.connect() as connection:
        run = await runs.required(connection)
        done = await latest_steps(connection)
    early = {step.name for step in STEPS if step.phase == "before"}
    return [
        name
        for name in NEEDED_TO_CONTRACT
        if name not in done
        or not done[name]["passed"]
        or (name not in early and done[name]["done_at"] < run["started_at"])
    ]
