"""What an operator types: the common commands, on a real database and broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from shared.events import EVENT_CONTENT_TYPE
from shared.publisher import Outgoing
from shared.service import Service
from support.events import booking
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
