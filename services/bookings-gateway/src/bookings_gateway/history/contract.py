"""The clean-up, a step of its own: removes what only the move needed, after a signed checklist and some age.

Bookings, links, payments and the decisions stay; so does the column ``user_id``. What goes are the chunks' log and the
detail of items nobody has to decide on any more; after it there is no rollback.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from bookings_gateway.history import runs
from bookings_gateway.history.checklist import missing_steps
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.move import History
from bookings_gateway.history.report import is_genuine
from bookings_gateway.history.steps import enter_step

LEAST_AGE = timedelta(days=14)
_FRESH = timedelta(days=1)

_AGE = text("SELECT now() - finished_at AS age FROM import_run WHERE id = :id")
_CLEAN = (
    text("DELETE FROM import_chunk WHERE run_id = :id"),
    text("UPDATE import_item SET correction = NULL, detail = NULL WHERE run_id = :id AND outcome = 'published'"),
)


async def contract(
    history: History, report: Mapping[str, Any], key: str | None, *, by: str, least_age: timedelta = LEAST_AGE
) -> None:
    """Remove the transitional parts. Raises ``NotReady`` that says what is missing, or ``ImportHeld``."""
    if not is_genuine(report, key):
        raise NotReady("The report is not one signed with BOOKINGS_GATEWAY_REPORT_KEY, or was changed since.")
    made_at = datetime.fromisoformat(report["made_at"])
    if datetime.now(UTC) - made_at > _FRESH:
        raise NotReady(f"The report is of {made_at:%Y-%m-%d %H:%M}: make another, not older than a day.")
    if report["exit_code"] != 0:
        raise NotReady("The report tells of differences: settle them and make another.")
    if missing := await missing_steps(history):
        raise NotReady(f"Steps of the checklist are missing: {', '.join(missing)}.")
    async with history.engine.begin() as connection:
        await runs.keep_still(connection)
        run = await runs.required(connection)
        if report["run"]["id"] != run["id"] or run["state"] != "imported":
            raise NotReady("The report is of another run, or this one is not finished.")
        age = (await connection.execute(_AGE, {"id": run["id"]})).scalar_one()
        if age < least_age:
            raise NotReady(f"The import is {age.days} days old; the way back stays open for {least_age.days}.")
        for statement in _CLEAN:
            await connection.execute(statement, {"id": run["id"]})
        evidence = {"report": made_at.isoformat()}
        await enter_step(connection, "contract", passed=True, evidence=evidence, name=by)
