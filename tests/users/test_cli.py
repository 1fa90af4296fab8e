"""What an operator types: the common commands, on a real database and broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from shared.database import create_engine
from shared.events import EVENT_CONTENT_TYPE
from shared.publisher import Outgoing
from shared.service import Service
from support.events import booking
from support.people import People
from support.sample_service import running
from support.waiting import eventually
from users.cli import app
from users.main import create_service
from users.settings import Settings


@dataclass
class Operator:
    """Types commands with the environment of the running service."""

    environment: dict[str, str]

    async def types(self, *words: str, code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, app, words, env=self.environment, color=False)
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
async def urls(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> dict[str, str]:
    return {"USERS_DATABASE_URL": await make_database("users"), "AMQP_URL": amqp_url, "COLUMNS": "200"}


@pytest.fixture
async def users(urls: dict[str, str]) -> AsyncIterator[Service]:
    settings = Settings.model_validate({"database_url": urls["USERS_DATABASE_URL"], "amqp_url": urls["AMQP_URL"]})
    async with running(create_service(settings)) as service:
        yield service


async def send_broken(service: Service, count: int) -> None:
    for number in range(count):
        event = booking(f"b{number}").model_copy(update={"data": {"booking_id": number}})
        message = Outgoing(event.encode(), "users.events", EVENT_CONTENT_TYPE, str(event.id))
        assert await service.publisher.publish([message]) == [None]

    async def all_dead() -> bool:
        return len(await service.dead_letters.find()) == count

    await eventually(all_dead, what=f"{count} dead letters")


async def test_dead_letters_are_listed_shown_requeued_and_discarded(users: Service, urls: dict[str, str]) -> None:
    operator = Operator(urls)
    assert "none" in await operator.types("dead-letters", "list")
    await send_broken(users, 3)

    listed = await operator.types("dead-letters", "list")
    assert listed.count("booking.created") >= 3
    assert "BrokenContract" in listed
    shown = await operator.types("dead-letters", "show", "1")
    assert '"booking_id":0' in shown
    assert "state: open" in shown
    assert "1 discarded" in await operator.types("dead-letters", "discard", "1")
    assert "2 requeued" in await operator.types("dead-letters", "requeue", "--all")

    async def failed_again() -> bool:
        return len(await users.dead_letters.find()) == 2

    await eventually(failed_again, what="the requeued ones to come back")
    assert "discarded" in await operator.types("dead-letters", "list", "--state", "all")


async def test_a_dead_letter_that_is_not_there_is_a_clear_error(urls: dict[str, str]) -> None:
    assert "there is no dead letter 7" in await Operator(urls).types("dead-letters", "show", "7", code=1)
    assert "name the ids, or say --all" in await Operator(urls).types("dead-letters", "requeue", code=2)


async def test_replay_sends_the_log_again_and_says_how_much(users: Service, urls: dict[str, str]) -> None:
    message = Outgoing(booking("b1").encode(), "users.events", EVENT_CONTENT_TYPE, "1")
    await users.publisher.publish([message])

    async def replayed() -> bool:
        return "2 events replayed to users" in await Operator(urls).types("replay", "--to", "users")

    await eventually(replayed, what="registration and link in the log")
    assert "no queue 'nobody.bulk'" in await Operator(urls).types("replay", "--to", "nobody", code=1)


async def test_migrating_again_changes_nothing(urls: dict[str, str]) -> None:
    assert "up to date" in await Operator(urls).types("migrate")


@pytest.fixture
async def two(urls: dict[str, str]) -> AsyncIterator[tuple[Operator, People, str, str]]:
    """An operator and two people, one with two addresses."""
    engine = create_engine(urls["USERS_DATABASE_URL"], name="tests")
    people = People(engine)
    await people.learn(booking("b1"), booking("b2", email="ann+x@example.com", contact={"phone": "0111"}))
    ids = [str(await people.id_of(email)) for email in ("ann@example.com", "ann+x@example.com")]
    yield Operator(urls), people, ids[0], ids[1]
    await engine.dispose()


Two = tuple[Operator, People, str, str]


async def test_an_operator_finds_merges_and_unmerges_after_a_preview(two: Two) -> None:
    operator, people, one, other = two
    assert "ann+x@example.com" in await operator.types("list", "--search", "0111")
    shown = await operator.types("merge", other, one, "--yes", "--reason", "same person")
    assert "differs" in shown
    assert "1 bookings" in shown
    assert f"{other} counts as {one}" in shown
    shown = await operator.types("show", other)
    assert f"canonical_id: {one}" in shown
    assert "same person" in shown
    await operator.types("unmerge", other, "--yes")
    assert await people.rows("SELECT 1 FROM users WHERE merged_into IS NOT NULL") == []
    assert "is not merged" in await operator.types("unmerge", other, "--yes", code=1)


async def test_without_a_yes_nothing_is_done(two: Two) -> None:
    operator, people, one, other = two
    for words in (("merge", other, one), ("erase", one)):
        await operator.types(*words, code=1)
    assert await people.rows("SELECT 1 FROM users WHERE merged_into IS NOT NULL OR erased_at IS NOT NULL") == []


async def test_an_operator_erases_after_seeing_what_goes(two: Two) -> None:
    operator, people, one, _ = two
    shown = await operator.types("erase", one, "--yes")
    assert "ann@example.com" in shown
    assert "1 bookings kept" in shown
    assert "1 erased" in shown
    assert await people.places_of(" ann@example.com") == []
    assert "there is no user" in (await operator.types("show", one[:-4] + "ffff", code=1)).lower()


async def test_an_operator_lists_and_dismisses_likely_duplicates(two: Two) -> None:
    operator, _, one, other = two
    assert "same mailbox" in await operator.types("duplicates", "--find")
    assert "none" in await operator.types("duplicates", "--dismiss", one, other)
    assert "0 found" in await operator.types("duplicates", "--find")
