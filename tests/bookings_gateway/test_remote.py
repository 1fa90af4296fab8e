"""A service that hangs, drips or is busy costs its own part, and no longer than its time limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing, suppress

import httpx
import pytest
from pydantic import SecretStr

from bookings_gateway import remote as remote_module
from bookings_gateway.errors import Declined, PartAway, PartNotReached
from bookings_gateway.remote import Call, Part, Remote
from bookings_gateway.schemas_records import ActivityPage

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[[Behaviour], Awaitable[str]]
RemoteOf = Callable[[Mapping[Part, str]], Remote]

_PAGE = b'{"items": [], "next": null}'


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Serve whatever a behaviour writes, and return the address."""
    async with AsyncExitStack() as stack:
        answering: set[asyncio.Task[None]] = set()

        async def serve(behaviour: Behaviour) -> str:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                answering.add(asyncio.current_task())  # type: ignore[arg-type]
                with closing(writer), suppress(ConnectionError):  # whoever asked may have gone
                    await reader.readuntil(b"\r\n\r\n")
                    await behaviour(reader, writer)

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield serve
        await asyncio.gather(*answering)


@pytest.fixture
async def remote_of() -> AsyncIterator[RemoteOf]:
    """Return clients of the services at some addresses."""
    async with AsyncExitStack() as stack:

        def make(urls: Mapping[Part, str]) -> Remote:
            remote = Remote(urls, SecretStr("t" * 20))
            stack.push_async_callback(remote.close)
            return remote

        yield make


def answering(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> Behaviour:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *headers.splitlines()]
        writer.write(b"\r\n".join([*lines, b"", body]))
        await writer.drain()

    return behave


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until whoever asked has gone


async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)  # the pace of it


async def ask(remote: Remote, part: Part) -> ActivityPage:
    return await remote.ask(Call(part, "GET", "/a"), ActivityPage)


async def test_a_service_that_hangs_does_not_take_another_services_part_with_it(
    listen: Listen, remote_of: RemoteOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "_SECONDS", 60)
    monkeypatch.setattr(remote_module, "_TIMEOUT", httpx.Timeout(60))
    remote = remote_of({Part.USERS: await listen(hangs), Part.STATS: await listen(answering(_PAGE))})
    waiting = [asyncio.create_task(ask(remote, Part.USERS)) for _ in range(110)]

    assert (await ask(remote, Part.STATS)).data == []
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_ends_at_its_limit_however_often_something_is_heard(listen: Listen, remote_of: RemoteOf) -> None:
    remote = remote_of({Part.STATS: await listen(drips)})
    began = time.monotonic()
    with pytest.raises(PartAway) as away:
        await ask(remote, Part.STATS)

    assert time.monotonic() - began < 8
    assert not isinstance(away.value, PartNotReached)  # it was asked


async def test_a_service_that_says_when_to_ask_again_has_declined(listen: Listen, remote_of: RemoteOf) -> None:
    busy = answering(b'{"detail": "A backup is at work."}', b"503 Service Unavailable", b"Retry-After: 60\n")
    with pytest.raises(Declined) as declined:
        await ask(remote_of({Part.USERS: await listen(busy)}), Part.USERS)

    assert (declined.value.status, str(declined.value)) == (503, "A backup is at work.")
    assert declined.value.headers == {"Retry-After": "60"}


@pytest.mark.parametrize(
    ("body", "headers"), [(b'{"detail": "The database is away."}', b""), (b"<html>", b"Retry-After: 60\n")]
)
async def test_any_other_503_is_a_part_away(listen: Listen, remote_of: RemoteOf, body: bytes, headers: bytes) -> None:
    with pytest.raises(PartAway):
        await ask(remote_of({Part.USERS: await listen(answering(body, b"503 Away", headers))}), Part.USERS)


async def test_a_service_nobody_listens_for_was_not_reached(remote_of: RemoteOf) -> None:
    with pytest.raises(PartNotReached):
        await ask(remote_of({Part.USERS: "http://127.0.0.1:1"}), Part.USERS)
