"""The HTTP door of the move: how far it is, in the customer's own metrics and more, and the error desk."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bookings_gateway import schemas_migration as described
from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor, current_actor
from bookings_gateway.access.policy import PREFIX
from bookings_gateway.admin_door import NO_NUL
from bookings_gateway.history.codes import WHAT_TO_DO
from bookings_gateway.history.desk import LEAST_REASON, Also, ErrorDesk
from bookings_gateway.history.errors import HistoryError, NoSuchItem
from bookings_gateway.history.figures import Latest
from bookings_gateway.history.move import History
from bookings_gateway.history.progress import status
from shared.problems import documented
from shared.refusals import Refusal

_LAG = text(
    """
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(l.recorded_at)), 0) AS seconds
    FROM (SELECT seq FROM outbox ORDER BY seq LIMIT 1) o JOIN event_log l USING (seq)
    """
)

By = Annotated[Actor, Depends(current_actor)]
Id = Annotated[str, Path(pattern=NO_NUL)]
Text = Annotated[str, StringConstraints(pattern=NO_NUL)]


class DeskRefused(Refusal):
    """What was asked of the error desk cannot be done; the detail says why."""


class NoSuchEntry(Refusal):
    """The ledger has no such booking."""

    status = 404


def _given(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class Decision(BaseModel):
    """Which entries, by id or all of a code, and why."""

    model_config = _given({"ids": ["00000000-0000-4000-8000-00000000000b"], "reason": "The row was corrected"})

    ids: Annotated[list[Text], Field(max_length=10_000)] = []
    code: Text | None = None
    reason: Annotated[Text | None, Field(max_length=1_000)] = None


class Waiver(Decision):
    """A waiver is nothing without its reason."""

    model_config = _given({"code": "created_at_missing", "reason": "The time of payment will do"})

    reason: Annotated[Text, Field(min_length=LEAST_REASON, max_length=1_000)]


class Correction(BaseModel):
    """What columns of the legacy row should have said; the row itself stays as it is."""

    model_config = _given({"columns": {"createdAt": "2024-05-01T10:00:00Z"}, "reason": "Typing error"})

    columns: dict[str, Any]
    reason: Annotated[Text, Field(min_length=LEAST_REASON, max_length=1_000)]


class Decided(BaseModel):
    """How many entries were open and are decided on now; ``superseded``: settled by a newer version of the booking.

    ``outcome`` and ``code``: what came of a single one.
    """

    entries: int
    superseded: int = 0
    outcome: str | None = None
    code: str | None = None


def create_router(history: History) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=f"{PREFIX}/migration", tags=["migration"], responses=documented())
    desk = ErrorDesk(history)
    _add_status(router, history)
    _add_reading(router, desk)
    _add_deciding(router, desk)
    return router


def _add_status(router: APIRouter, history: History) -> None:
    latest = Latest(history)

    @router.get("", response_model=None, responses={200: {"model": described.Migration}})
    async def migration() -> dict[str, Any]:
        """Return where the move stands: the customer's metrics, and payments, money, errors, rate, ETA, lag.

        State, queues and pace are of this moment; what takes a look at every booking is ``countedSecondsAgo``.
        ``bookingsWithUsers`` are of ``totalBookings``; ``totalUsers`` counts people: users not merged into another,
        with or without bookings. ``errors`` and ``inReview`` are what nobody decided on yet; ``money`` is in decimals.
        """
        async with history.engine.connect() as connection:
            figures = await latest.get(connection)
            now = await status(connection, await history.source(connection), figures.bookings)
            lag = (await connection.execute(_LAG)).scalar_one_or_none()
        ages = {"lagSeconds": round(float(lag or 0), 1), "countedSecondsAgo": round(figures.age_seconds, 1)}
        return {**now.as_json(), **figures.told, **ages}


def _add_reading(router: APIRouter, desk: ErrorDesk) -> None:
    @router.get("/errors", response_model=None, responses={200: {"model": described.DeskPage}})
    async def errors(
        state: Annotated[str, Query(pattern="^(set_aside|waived|review|reviewed)$")] = "set_aside",
        code: Annotated[str | None, Query(pattern=NO_NUL)] = None,
        after: Annotated[str, Query(pattern=NO_NUL)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        """Return entries of the error desk, how many of each code are open, and what can be done about each."""
        found = await desk.find(states=[state], code=code, after=after, limit=limit)
        codes = await desk.by_code()
        what = {code: WHAT_TO_DO[code] for code in codes if code in WHAT_TO_DO}
        return {"codes": codes, "whatToDo": what, "items": [dict(row) for row in found]}

    entry: dict[int | str, dict[str, Any]] = {**documented(404), 200: {"model": described.DeskEntry}}

    @router.get("/errors/{booking_id}", response_model=None, responses=entry)
    async def error(booking_id: Id) -> dict[str, Any]:
        """Return one entry with what was decided; of the row that it is there, of a correction which columns."""
        try:
            shown = await desk.show(booking_id)
        except NoSuchItem as missing:
            raise NoSuchEntry(str(missing)) from None
        row = None if shown["row"] is None else "present"
        return {**shown, "row": row, "correction": sorted(shown["correction"] or {})}


def _add_deciding(router: APIRouter, desk: ErrorDesk) -> None:
    @router.post("/errors/waive", responses=documented(400, 409))
    async def waive(body: Waiver, actor: By) -> Decided:
        """Leave entries as they are, for a reason: in respect of the code, or of all they have."""
        ids = await desk.ids_of(body.code) if body.code else body.ids
        also = _audited(actor, "history.waived")
        try:
            done = await desk.waive(ids, by=actor.name, reason=body.reason, code=body.code, also=also)
        except HistoryError as refused:
            raise DeskRefused(str(refused)) from None
        return Decided(entries=done)

    @router.post("/errors/retry", responses=documented(400, 409))
    async def retry(body: Decision, actor: By) -> Decided:
        """Try entries again as their rows are now."""
        ids = await desk.ids_of(body.code) if body.code else body.ids
        try:
            done = await desk.retry(ids, by=actor.name, also=_audited(actor, "history.retried"))
        except HistoryError as refused:
            raise DeskRefused(str(refused)) from None
        return Decided(entries=done.again, superseded=done.superseded)

    @router.post("/errors/{booking_id}/fix", responses=documented(400, 404, 409))
    async def fix(booking_id: Id, body: Correction, actor: By) -> Decided:
        """Say what a row set aside should have said, and try it again; ``outcome`` is what came of it."""
        also = _audited(actor, "history.fixed", body.columns, entity=f"booking/{booking_id}")
        try:
            now = await desk.correct(booking_id, body.columns, by=actor.name, reason=body.reason, also=also)
        except NoSuchItem as missing:
            raise NoSuchEntry(str(missing)) from None
        except HistoryError as refused:
            raise DeskRefused(str(refused)) from None
        return Decided(entries=1, outcome=now["outcome"], code=now["code"])


def _audited(actor: Actor, action: str, after: audit.Values | None = None, *, entity: str = "history/errors") -> Also:
    """Return what records a decision in its own transaction."""

    async def record(connection: AsyncConnection, entries: int) -> None:
        changed = {"rows": entries} if after is None else after
        await audit.record(connection, actor, action=action, entity=entity, after=changed)

    return record
