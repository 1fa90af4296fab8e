"""An erased person is nowhere any more, and nothing brings them back; ids, dates and links stay."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.consumer import Group
from shared.events import Event
from shared.replay import Selection, read
from support.apply import apply
from support.events import booking
from support.people import People
from users.domain import identity_digest
from users.service.audit import Decision
from users.service.erase_user import erase_user

EMAIL = "Quentin.Planted@Example.com"
VALUES = ("quentin", "plantedson", "7700 900987", "7700900987", "plantco", "planted word")
CONTACT = {"first_name": "Quentin", "last_name": "Plantedson", "phone": "07700 900987", "company": "Plantco"}
REDACTED = dict.fromkeys(("first_name", "last_name", "phone", "company"))
LATER = "2199-01-01T00:00:00Z"
AFTERWARDS = datetime(2199, 1, 1, tzinfo=UTC)


def planted(booking_id: str, sequence: int = 1, **fields: Any) -> Event:
    return booking(booking_id, sequence, **{"email": EMAIL, "contact": CONTACT, **fields})


async def known(people: People) -> UUID:
    """A person with everything that can be known of one; returns the id."""
    await people.learn(planted("b1", email=None), planted("b1", 2), planted("b2"), booking("other"))
    id_ = await people.id_of(EMAIL.lower())
    await people.learn(planted("b3", email="q.plantedson@other.example"))
    alias = await people.id_of("q.plantedson@other.example")
    await people.merge(alias, id_)
    await people.correct(id_, version=1, company_name="Plantco Limited", by="office", reason="Quentin said so")
    await people.post(f"/users/{id_}/notes", 201, text="Planted word about Quentin", author="office")
    await people.post(
        f"/users/{alias}/communications", 201,
        channel="email", direction="inbound", subject="Quentin asks", body="Planted word", author="office",
    )  # fmt: skip
    body = planted("b1", 3).encode()
    statement = text(
        """
        INSERT INTO dead_letter (subject, body, reason, attempts, first_failed_at, last_failed_at)
        VALUES ('b1', :body, '', 1, now(), now()), (NULL, :unreadable, '', 1, now(), now())
        """
    )
    async with people.engine.begin() as connection:
        await connection.execute(statement, {"body": body, "unreadable": b"\xff" + body})
    await people.post("/duplicates/find")
    return id_


async def test_planted_values_are_in_no_column_of_any_table_and_links_and_dates_stay(people: People) -> None:
    id_ = await known(people)
    assert len(await people.places_of(*VALUES)) > 20
    links = await people.rows("SELECT * FROM booking_link ORDER BY booking_id")
    events = await people.rows("SELECT event_id, seq, xid, type, subject, sequence FROM event_log ORDER BY seq")

    erased = await people.post(f"/users/{id_}/erase", by="office", reason="Quentin asked by letter", confirm=EMAIL)

    assert await people.places_of(*VALUES) == []
    assert len(erased["users"]) == 3  # with the merged one, and the placeholder of b1
    assert await people.rows("SELECT * FROM booking_link ORDER BY booking_id") == links
    after = await people.rows("SELECT event_id, seq, xid, type, subject, sequence FROM event_log ORDER BY seq")
    assert after[: len(events)] == events
    shown = await people.ask(f"/users/{id_}")
    assert (shown["email"], shown["emails"], shown["variants"], shown["placeholder"]) == (None, [], [], False)
    assert shown["erased_at"]
    assert shown["created_at"]
    assert (await people.ask("/users/" + str(await people.id_of("ann@example.com"))))["first_name"] == "Ann"


async def test_erasing_is_told_once_as_the_last_version_of_each_user(people: People) -> None:
    id_ = await known(people)
    for _ in range(2):
        await people.erase(id_)

    told = await people.published("user.erased")
    assert len(told) == 3
    for event in told:
        ((last,),) = await people.rows(
            "SELECT max(sequence) FROM event_log WHERE subject = :id AND type NOT LIKE 'user.%merged'",
            id=event["subject"],
        )
        assert event["sequence"] == last
        assert event["data"].keys() == {"user_id", "erased_at", "address_digests"}
    digests = {digest for event in told for digest in event["data"]["address_digests"]}
    assert digests == {identity_digest(each).hex() for each in (EMAIL.lower(), "q.plantedson@other.example")}


async def test_late_repeated_and_reordered_events_bring_nothing_back(people: People) -> None:
    id_ = await known(people)
    await people.erase(id_)

    await people.learn(
        planted("b1", 3),  # an old version that was never delivered
        planted("late"),  # an old booking nobody here had heard of
        planted("b2", 2, email=None, contact=REDACTED),
        group=1,
    )
    async with people.engine.begin() as connection:
        await connection.execute(text("DELETE FROM inbox"))  # the ids of old events are forgotten one day
    await people.learn(planted("b1", email=None), planted("b1", 2), planted("b2"), planted("late"), group=2)
    await people.learn(planted("last", email=None), planted("last", 2), group=1)

    assert await people.places_of(*VALUES) == []
    assert await people.rows("SELECT email FROM users WHERE erased_at IS NULL") == [("ann@example.com",)]
    owners = await people.rows("SELECT booking_id FROM booking_link WHERE user_id = :id ORDER BY booking_id", id=id_)
    assert [row.booking_id for row in owners] == ["b1", "b2", "last", "late"]


async def test_a_new_booking_of_the_same_address_is_a_new_user_and_may_be_erased_too(people: People) -> None:
    id_ = await known(people)
    await people.erase(id_)

    await people.learn(planted("new", created_at=LATER))

    new = await people.id_of(EMAIL.lower())
    assert new != id_
    assert (await people.ask(f"/users/{new}"))["first_name"] == "Quentin"
    await people.erase(new, confirm=EMAIL)
    await people.learn(planted("late"))
    assert await people.places_of(*VALUES) == []
    ((owner,),) = await people.rows("SELECT user_id FROM booking_link WHERE booking_id = 'late'")
    assert owner == id_  # of the one whose bookings were made before the first erasure


@pytest.mark.parametrize("created_at", [None, LATER])
async def test_a_booking_without_a_date_or_dated_ahead_brings_nobody_back_when_it_is_saved_again(
    people: People, created_at: str | None
) -> None:
    await people.learn(planted("b1", created_at=created_at))
    id_ = await people.id_of(EMAIL.lower())
    await people.erase(id_)

    saved = [planted("b1", sequence, created_at=created_at) for sequence in (2, 3)]
    await people.learn(*(event.model_copy(update={"time": AFTERWARDS}) for event in saved), group=1)

    assert await people.places_of(*VALUES) == []
    assert await people.rows("SELECT user_id FROM booking_link") == [(id_,)]


async def test_a_booking_dated_ahead_that_is_somebody_elses_now_goes_to_them(people: People) -> None:
    await people.learn(planted("b1", created_at=LATER))
    id_ = await people.id_of(EMAIL.lower())
    await people.erase(id_)

    await people.learn(planted("b1", 2, email="bob@example.com", created_at=LATER, contact={"first_name": "Bob"}))

    bob = await people.id_of("bob@example.com")
    assert await people.rows("SELECT user_id FROM booking_link") == [(bob,)]


async def test_an_address_given_to_a_redacted_booking_again_moves_it_only_if_it_is_somebody_elses(
    people: People,
) -> None:
    id_ = await known(people)
    await people.erase(id_)

    await people.learn(planted("b1", 4), planted("b2", 5, email="bob@example.com", contact={"first_name": "Bob"}))

    links = {row[0]: row[1] for row in await people.rows("SELECT booking_id, user_id FROM booking_link")}
    assert links["b1"] == id_
    assert links["b2"] == await people.id_of("bob@example.com")


async def test_a_replay_of_the_log_carries_nothing_of_an_erased_person(people: People) -> None:
    id_ = await known(people)
    await people.erase(id_)

    bodies = [row["body"] async for page in read(people.engine, Selection()) for row in page]

    assert {json.loads(body)["type"] for body in bodies} >= {"user.registered", "user.updated", "user.erased"}
    assert not any(value in body.lower() for body in bodies for value in VALUES)


async def test_a_booking_being_applied_while_its_person_is_erased_does_not_bring_them_back(people: People) -> None:
    """Both ways round: the erasure waits for a booking that came before it, a booking waits for the erasure."""
    await people.learn(planted("b1"))
    id_ = await people.id_of(EMAIL.lower())
    async with people.engine.connect() as open_transaction:
        await people.handler.apply(open_transaction, Group([planted("b2")]))
        decision = Decision("office")
        erasing = asyncio.ensure_future(erase_user(people.engine, "/users", id_, confirm=str(id_), decision=decision))
        await lock_awaited(people.engine)
        booked = asyncio.ensure_future(apply(people.engine, people.handler, [planted("b3")]))
        await lock_awaited(people.engine, count=2)
        await open_transaction.commit()
    await asyncio.gather(erasing, booked)

    assert await people.places_of(*VALUES) == []
    ((count,),) = await people.rows("SELECT count(*) FROM booking_link WHERE user_id = :id", id=id_)
    assert count == 3


async def test_an_erasure_beside_a_backup_is_refused_and_done_later(people: People) -> None:
    await people.learn(planted("b1"))
    id_ = await people.id_of(EMAIL.lower())
    async with people.engine.begin() as backup:
        await backup.execute(text("LOCK TABLE erased_identity IN ACCESS SHARE MODE"))
        refused = await people.erase(id_, 503)
    assert "try again" in refused["detail"]

    await people.erase(id_)
    assert await people.places_of(*VALUES) == []


async def test_a_note_being_written_while_its_person_is_erased_goes_with_them(people: People) -> None:
    await people.learn(planted("b1"))
    id_ = await people.id_of(EMAIL.lower())
    notes = (people.post(f"/users/{id_}/notes", 201, text=f"Planted word {n}", author="office") for n in range(8))
    results = await asyncio.gather(*notes, people.erase(id_), return_exceptions=True)

    assert not isinstance(results[-1], BaseException)
    assert await people.places_of(*VALUES) == []


async def lock_awaited(engine: AsyncEngine, count: int = 1) -> None:
    """Return when so many transactions wait for a lock of a table."""
    statement = text(
        """
        SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE NOT granted AND relation = 'erased_identity'::regclass
        """
    )
    async with asyncio.timeout(30):
        while True:
            async with engine.connect() as connection:
                if (await connection.execute(statement)).scalar_one() >= count:
                    return


@pytest.mark.parametrize("confirm", ["ann@example.com", "x", "00000000-0000-0000-0000-000000000000"])
async def test_an_erasure_that_is_not_confirmed_changes_nothing(people: People, confirm: str) -> None:
    await people.learn(planted("b1"), booking("b2"))
    id_ = await people.id_of(EMAIL.lower())

    await people.erase(id_, 409, confirm=confirm)

    assert await people.id_of(EMAIL.lower()) == id_


async def test_nothing_is_written_about_an_erased_person(people: People) -> None:
    await people.learn(planted("b1"))
    id_ = await people.id_of(EMAIL.lower())
    await people.erase(id_)

    await people.correct(id_, 409, version=2, first_name="Quentin")
    await people.post(f"/users/{id_}/notes", 409, text="Planted word", author="office")
    await people.unmerge(id_, 409)
    assert (await people.ask(f"/users/{id_}/notes")) == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("given", "kept"), [(None, None), ("requested", "requested"), ("Court order", "court_order"), ("Quentin", "other")]
)
async def test_of_why_a_person_was_erased_a_word_is_kept_that_names_nobody(
    people: People, given: str | None, kept: str | None
) -> None:
    await people.learn(planted("b1"))
    id_ = await people.id_of(EMAIL.lower())

    await people.post(f"/users/{id_}/erase", by="office", confirm=EMAIL, reason=given)

    assert await people.rows("SELECT reason FROM audit WHERE action = 'erase'") == [(kept,)]


async def test_what_is_kept_of_an_address_cannot_be_read(people: People) -> None:
    await people.learn(planted("b1"))
    await people.erase(await people.id_of(EMAIL.lower()))

    ((digest,),) = await people.rows("SELECT digest FROM erased_identity")
    assert digest == identity_digest(EMAIL.lower())
    assert len(digest) == 32
