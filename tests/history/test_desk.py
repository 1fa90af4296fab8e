"""The error desk: what was set aside is corrected, waived or tried again, with a name; the API tells how far it is."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import IntegrityError
from starlette.middleware.base import RequestResponseEndpoint
from typer.testing import CliRunner

from bookings_gateway import api_migration
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.cli import app
from bookings_gateway.forget import forget_history
from bookings_gateway.history.desk import ErrorDesk, Retried
from bookings_gateway.history.errors import ImportHeld, NoSuchItem, NotCorrectable, Unsigned
from shared.problems import answer_errors
from support.databases import Databases
from support.history import Moved, moving
from support.legacy_due import due
from support.legacy_generations import LAYOUTS
from support.legacy_history import facts
from users.service.audit import Decision
from users.service.merge_users import merge_users

FACTS = facts(60, seed=41)
SET_ASIDE = sorted(due(LAYOUTS["default"], FACTS).set_aside)
TOLD = next(str(fact.id) for fact in FACTS if str(fact.id) not in SET_ASIDE)
FUTURE = next(str(fact.id) for fact in FACTS if fact.created and fact.created.year > 2050)


@pytest.fixture
async def moved(databases: Databases) -> AsyncIterator[Moved]:
    async with moving(databases, "default", FACTS) as moved:
        await moved.import_all()
        await moved.settle()
        yield moved


def client_of(moved: Moved) -> httpx.AsyncClient:
    """A client of the migration's API whom the guard let in."""
    api = FastAPI()
    api.include_router(api_migration.create_router(moved.history))
    answer_errors(api)

    @api.middleware("http")
    async def admit(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.actor = Actor(uuid4(), "Olga", Role.ADMIN)
        return await call_next(request)

    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://gateway/api/admin/migration")


def decided(entries: int) -> dict[str, int | None]:
    return {"entries": entries, "superseded": 0, "outcome": None, "code": None}


async def set_aside_change(moved: Moved, booking_id: str) -> str:
    """A change of an hour ago, set aside by a gateway that could not read it; its entry's id."""
    change = """
        INSERT INTO booking_change_failed (seq, op, booking_id, row, changed_at, error, failed_at)
        SELECT nextval(pg_get_serial_sequence('booking_change', 'seq')), 'U', CAST(id AS text), row_to_json(b),
               now() - interval '1 hour', 'ValueError', now() - interval '1 hour'
        FROM bookings b WHERE CAST(id AS text) = :id RETURNING 'change:' || seq
    """.replace("'change:'", "'change\\:'")
    return str(await moved.value("bookings-gateway", change, id=booking_id))


async def versions(moved: Moved, booking_id: str) -> int:
    count = "SELECT count(*) FROM event_log WHERE subject = :id"
    return int(await moved.value("bookings-gateway", count, id=booking_id))


async def run_state(moved: Moved) -> str:
    return str(await moved.value("bookings-gateway", "SELECT state FROM import_run"))


@pytest.mark.parametrize(
    ("newer", "pages"),
    [("UPDATE bookings SET status = 'PAID'", 1), ("DELETE FROM bookings", 0), (None, 1)],
    ids=["updated", "deleted", "imported"],
)
async def test_an_overtaken_change_never_comes_back(moved: Moved, newer: str | None, pages: int) -> None:
    entry = await set_aside_change(moved, TOLD)
    if newer:
        await moved.rows("bookings-gateway", f"{newer} WHERE CAST(id AS text) = :id", id=TOLD)
    else:
        await moved.rows("bookings-gateway", "UPDATE import_item SET imported_at = clock_timestamp()")
    for _ in range(pages):
        await moved.capture.capture_page(moved.gateway, "/bookings-gateway")
    assert await ErrorDesk(moved.history).retry([entry], by="Olga") == Retried(again=0, superseded=1)
    told = await versions(moved, TOLD)
    await moved.settle()

    assert await versions(moved, TOLD) == told
    assert await ErrorDesk(moved.history).find(states=["set_aside"], code="change_unreadable") == []


async def test_two_changes_tried_again_one_by_one_are_told_in_their_order(moved: Moved) -> None:
    await moved.rows("bookings-gateway", "UPDATE import_item SET imported_at = now() - interval '2 hours'")
    entries = [await set_aside_change(moved, TOLD) for _ in range(2)]
    before = await versions(moved, TOLD)

    for entry in entries:
        assert await ErrorDesk(moved.history).retry([entry], by="Olga") == Retried(again=1, superseded=0)
    await moved.settle()
    assert await versions(moved, TOLD) == before + 2


@pytest.mark.parametrize("run", ["paused", "failed"])
async def test_the_desk_gives_the_run_back_as_it_was(moved: Moved, run: str) -> None:
    await moved.rows("bookings-gateway", "UPDATE import_run SET state = :run", run=run)
    desk = ErrorDesk(moved.history)

    assert (await desk.retry([FUTURE], by="Olga")).again == 1
    assert await run_state(moved) == run
    await desk.correct(FUTURE, {"createdAt": "2024-05-01T10:00:00+00:00"}, by="Olga", reason="typing error")
    assert await run_state(moved) == run


async def test_a_booking_that_was_told_is_not_told_again_by_a_retry(moved: Moved) -> None:
    before = await versions(moved, TOLD)

    assert await ErrorDesk(moved.history).retry([TOLD, "nobody"], by="Olga") == Retried(again=0, superseded=0)
    assert await versions(moved, TOLD) == before


async def test_nothing_is_decided_while_an_import_runs(moved: Moved) -> None:
    await moved.begin()
    desk = ErrorDesk(moved.history)

    with pytest.raises(ImportHeld):
        await desk.retry([FUTURE], by="Olga")
    with pytest.raises(ImportHeld):
        await desk.correct(FUTURE, {"createdAt": None}, by="Olga", reason="typing error")
    shown = await desk.show(FUTURE)
    assert (shown["decisions"], shown["correction"]) == ([], None)


async def test_a_corrected_row_is_told_and_the_legacy_row_stays(moved: Moved) -> None:
    before = await moved.checksum()
    desk = ErrorDesk(moved.history)

    await desk.correct(FUTURE, {"createdAt": "2024-05-01T10:00:00+00:00"}, by="Olga", reason="typing error")
    await moved.settle()

    linked = await moved.value("users", "SELECT count(*) FROM booking_link WHERE booking_id = :id", id=FUTURE)
    assert linked == 1
    assert await moved.checksum() == before
    assert [each["action"] for each in (await desk.show(FUTURE))["decisions"]] == ["fix", "retry"]


@pytest.mark.parametrize(
    "columns", [{"id": TOLD}, {"createdat": None}, {"status": "a\0b"}, {"status": float("nan")}], ids=str
)
async def test_a_correction_that_means_nothing_is_refused_with_a_sentence(
    moved: Moved, columns: dict[str, Any]
) -> None:
    desk = ErrorDesk(moved.history)
    with pytest.raises(NotCorrectable, match=r"\.$"):
        await desk.correct(FUTURE, columns, by="Olga", reason="typing error")

    shown = await desk.show(FUTURE)
    assert (shown["decisions"], shown["correction"], shown["attempts"]) == ([], None, 1)


async def test_what_came_of_a_correction_is_said(moved: Moved) -> None:
    said = [{"status": "PAID"}, {"createdAt": "2024-05-01T10:00:00+00:00"}]
    async with client_of(moved) as client:
        told = []
        for columns in said:
            answer = await client.post(f"/errors/{FUTURE}/fix", json={"columns": columns, "reason": "typing error"})
            told.append((answer.json()["outcome"], answer.json()["code"]))

    assert told == [("set_aside", "created_in_future"), ("published", None)]


async def test_a_correction_of_a_row_that_is_gone_is_refused(moved: Moved) -> None:
    await moved.rows("bookings-gateway", "DELETE FROM bookings WHERE CAST(id AS text) = :id", id=FUTURE)

    with pytest.raises(NoSuchItem, match="any more"):
        await ErrorDesk(moved.history).correct(FUTURE, {"status": "PAID"}, by="Olga", reason="typing error")


async def test_many_are_tried_again_page_by_page(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookings_gateway.history.desk._PAGE", 1)
    assert len(SET_ASIDE) > 1
    assert await ErrorDesk(moved.history).retry(SET_ASIDE, by="Olga") == Retried(again=len(SET_ASIDE), superseded=0)

    moments = "SELECT count(DISTINCT decided_at) FROM import_decision WHERE action = 'retry'"
    assert await moved.value("bookings-gateway", moments) == len(SET_ASIDE)


async def test_what_cannot_be_audited_is_not_decided(moved: Moved) -> None:
    await moved.rows("bookings-gateway", "ALTER TABLE audit ADD CHECK (action NOT LIKE 'history.%') NOT VALID")
    async with client_of(moved) as client:
        with pytest.raises(IntegrityError):
            await client.post("/errors/waive", json={"ids": [FUTURE], "reason": "sample"})
        assert (await client.post("/errors/retry", json={"ids": [FUTURE]})).is_client_error

    shown = await ErrorDesk(moved.history).show(FUTURE)
    assert (shown["outcome"], shown["decisions"]) == ("set_aside", [])


async def test_reviews_are_waived_by_their_code(moved: Moved) -> None:
    desk = ErrorDesk(moved.history)
    listed = await desk.find(states=["review"], code="status_proves_little")

    assert listed
    assert await desk.waive(await desk.ids_of("status_proves_little"), by="Olga", reason="looked") == len(listed)
    assert await desk.find(states=["review"], code="status_proves_little") == []


async def test_who_waives_one_code_did_not_decide_on_another_and_nothing_is_decided_twice(moved: Moved) -> None:
    two = "UPDATE import_item SET reviews = '{paid_then_cancelled,amount_disagrees}' WHERE booking_id = :id"
    await moved.rows("bookings-gateway", two, id=TOLD)
    desk = ErrorDesk(moved.history)

    ids = await desk.ids_of("paid_then_cancelled")
    assert await desk.waive(ids, by="Olga", reason="returned in cash", code="paid_then_cancelled") == len(ids)
    assert await desk.ids_of("amount_disagrees") == [TOLD]
    states = [await desk.find(states=[state], code=None) for state in ("review", "reviewed")]
    (open_, done) = ([row for row in found if row["id"] == TOLD] for found in states)
    assert [(row["code"], row["decided_by"]) for row in open_] == [("amount_disagrees", None)]
    assert [(row["code"], row["decided_by"]) for row in done] == [("paid_then_cancelled", "Olga")]

    assert await desk.waive([TOLD], by="Ann", reason="a discount") == 1
    assert await desk.waive([TOLD], by="Mallory", reason="whatever") == 0
    kept = await moved.rows(
        "bookings-gateway", "SELECT code, decided_by, reason FROM import_verdict WHERE booking_id = :id", id=TOLD
    )
    assert {(row["code"], row["decided_by"], row["reason"]) for row in kept} == {
        ("paid_then_cancelled", "Olga", "returned in cash"),
        ("amount_disagrees", "Ann", "a discount"),
    }
    said = [(each["decided_by"], each["codes"]) for each in (await desk.show(TOLD))["decisions"]]
    assert said == [("Olga", ["paid_then_cancelled"]), ("Ann", ["amount_disagrees"])]


@pytest.mark.parametrize(("by", "reason"), [("", "samples"), (" ", "samples"), ("Olga", ""), ("Olga", "   ")])
async def test_nobody_decides_without_a_name_and_a_reason(moved: Moved, by: str, reason: str) -> None:
    desk = ErrorDesk(moved.history)
    with pytest.raises(Unsigned):
        await desk.waive(SET_ASIDE, by=by, reason=reason)
    with pytest.raises(Unsigned):
        await desk.correct(FUTURE, {"createdAt": None}, by=by, reason=reason)

    assert (await desk.show(FUTURE))["decisions"] == []
    async with client_of(moved) as client:
        refused = await client.post("/errors/waive", json={"ids": SET_ASIDE, "reason": "   "})
    assert refused.status_code == 409


async def test_a_fix_that_helps_nothing_ends_with_one_and_one_that_helps_with_nought(moved: Moved) -> None:
    url = moved.gateway.url.set(drivername="postgresql").render_as_string(hide_password=False)
    environment = {"BOOKINGS_GATEWAY_DATABASE_URL": url, "AMQP_URL": "amqp://unused"}
    fix = ["history", "errors", "fix", FUTURE, "--by", "Olga"]
    said = []
    for column, reason in (
        ("status=PAID", "typing error"),
        ("createdAt=2024-05-01", " "),
        ("createdAt=2024-05-01", "typing"),
    ):
        words = [*fix, "--set", column, "--reason", reason]
        result = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
        said.append((result.exit_code, result.output.split(":")[0].split()[:2]))

    assert said == [(1, ["set", "aside"]), (1, ["A", "decision"]), (0, ["told"])]


async def test_a_change_is_shown_and_when_waived_it_is_known_whose_it_was(moved: Moved) -> None:
    desk = ErrorDesk(moved.history)
    entry = await set_aside_change(moved, TOLD)
    shown = await desk.show(entry)
    assert (shown["booking_id"], shown["op"], shown["row"]["id"], shown["decisions"]) == (TOLD, "U", TOLD, [])

    assert await desk.waive([entry], by="Olga", reason="asked by Ann Lee") == 1
    (said,) = await moved.rows("bookings-gateway", "SELECT reason, facts FROM import_decision")
    assert said == {"reason": "asked by Ann Lee", "facts": {"booking_id": TOLD, "op": "U"}}
    assert len((await desk.show(entry))["decisions"]) == 1

    async with moved.gateway.begin() as connection:
        await forget_history(connection, [TOLD], columns=["contactDetails"])
    assert await moved.value("bookings-gateway", "SELECT reason FROM import_decision") is None


async def test_waiving_wants_a_reason_and_settles_the_check(moved: Moved) -> None:
    async with client_of(moved) as client:
        listed = (await client.get("/errors")).json()
        refused = await client.post("/errors/waive", json={"ids": SET_ASIDE})
        waived = await client.post("/errors/waive", json={"ids": SET_ASIDE, "reason": "samples"})
        again = await client.post("/errors/waive", json={"ids": SET_ASIDE, "reason": "samples"})

    assert sorted(item["id"] for item in listed["items"]) == SET_ASIDE
    assert (refused.status_code, waived.json(), again.json()) == (422, decided(len(SET_ASIDE)), decided(0))
    (check,) = [check for check in (await moved.verified()).checks if check.name == "V12"]
    assert check.passed


async def test_the_status_sums_to_the_total_and_tells_the_documents_metrics(moved: Moved) -> None:
    async with client_of(moved) as client:
        told = (await client.get("http://gateway/api/admin/migration")).json()

    assert sum(told["bookings"].values()) == told["totalBookings"] == len(FACTS)
    assert told["bookingsWithUsers"] == len(FACTS) - len(SET_ASIDE)
    assert told["totalUsers"] == due(LAYOUTS["default"], FACTS).users
    assert (told["links"]["waiting"], told["payments"]["waiting"]) == (0, 0)


async def test_the_figures_are_of_what_is_there_and_open_and_in_decimals(moved: Moved) -> None:
    desk = ErrorDesk(moved.history)
    for code in await desk.by_code():
        await desk.waive(await desk.ids_of(code), by="Olga", reason="seen", code=code)
    await moved.rows("bookings-gateway", "DELETE FROM bookings WHERE CAST(id AS text) = :id", id=TOLD)
    pair = "SELECT DISTINCT user_id FROM booking_user WHERE user_id IS NOT NULL ORDER BY 1 LIMIT 2"
    one, other = [row["user_id"] for row in await moved.rows("bookings-gateway", pair)]
    await merge_users(moved.engines["users"], "/users", one, into=other, decision=Decision("Olga", "the same"))
    await moved.settle()
    async with client_of(moved) as client:
        told = (await client.get("http://gateway/api/admin/migration")).json()

    wanted = due(LAYOUTS["default"], FACTS)
    assert (told["errors"], told["inReview"]) == ({}, 0)
    assert told["totalUsers"] == wanted.users - 1
    assert told["totalBookings"] == len(FACTS) - 1
    assert told["bookingsWithUsers"] == len(FACTS) - len(SET_ASIDE) - 1
    pence = sum(payment[1] for payment in wanted.payments.values())
    assert [sums["received"] for sums in told["money"]] == [str(Decimal(pence).scaleb(-2))]


async def test_it_sums_to_the_total_after_live_deletes_and_waivers(moved: Moved) -> None:
    placeholders = (await moved.history.counts()).placeholders
    await ErrorDesk(moved.history).waive(SET_ASIDE, by="Olga", reason="samples")
    for id_ in (TOLD, FUTURE):
        await moved.rows("bookings-gateway", "DELETE FROM bookings WHERE CAST(id AS text) = :id", id=id_)
    await moved.settle()
    told = (await moved.history.status()).as_json()

    assert sum(told["bookings"].values()) == told["totalBookings"] == len(FACTS) - 2
    assert (told["gone"], told["bookings"]["waived"]) == (2, len(SET_ASIDE) - 1)
    assert (await moved.history.counts()).placeholders == placeholders


async def test_a_change_no_event_could_be_made_of_stands_at_the_desk_and_is_tried_again(moved: Moved) -> None:
    broken = "INSERT INTO booking_change (op, booking_id, row, changed_at) VALUES ('U', 'b', '{\"no\": \"id\"}', now())"
    await moved.rows("bookings-gateway", broken.replace(":", "\\:"))
    await moved.settle()
    desk = ErrorDesk(moved.history)

    (entry,) = await desk.find(states=["set_aside"], code="change_unreadable")
    assert await desk.retry([entry["id"]], by="Olga") == Retried(again=1, superseded=0)
    await moved.settle()
    (entry,) = await desk.find(states=["set_aside"], code="change_unreadable")
    assert await desk.waive([entry["id"]], by="Olga", reason="not a booking") == 1
    assert await desk.find(states=["set_aside"], code="change_unreadable") == []


async def test_an_unknown_booking_is_a_404(moved: Moved) -> None:
    async with client_of(moved) as client:
        assert (await client.get("/errors/nobody")).status_code == 404


async def test_a_correction_is_shown_by_its_columns_alone_and_every_decision_is_audited(moved: Moved) -> None:
    said = {"contactDetails": {"email": "ann@example.com"}, "participants": ["peanuts"]}
    async with client_of(moved) as client:
        fixed = await client.post(f"/errors/{FUTURE}/fix", json={"columns": said, "reason": "typing error"})
        shown = await client.get(f"/errors/{FUTURE}")
        await client.post("/errors/retry", json={"ids": [FUTURE]})
        await client.post("/errors/waive", json={"ids": [FUTURE], "reason": "a sample"})

    assert (fixed.status_code, shown.json()["correction"]) == (200, ["contactDetails", "participants"])
    assert "peanuts" not in shown.text
    lines = await moved.rows("bookings-gateway", "SELECT actor, action, entity, after FROM audit ORDER BY id")
    assert [(line["actor"], line["action"], line["entity"]) for line in lines] == [
        ("Olga", "history.fixed", f"booking/{FUTURE}"),
        ("Olga", "history.retried", "history/errors"),
        ("Olga", "history.waived", "history/errors"),
    ]
    assert "peanuts" not in str(lines)


async def test_what_no_text_can_hold_is_refused(moved: Moved) -> None:
    async with client_of(moved) as client:
        for path in ("/errors?after=%00", "/errors?code=%00", "/errors/a%00"):
            assert (await client.get(path)).status_code == 422
        assert (await client.post("/errors/waive", json={"ids": ["\0"], "reason": "sample"})).status_code == 422
