"""``bookings-gateway staff`` and ``tokens``, as an operator types them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from bookings_gateway.cli import app
from support.gateway import Gateway, log_in
from support.legacy_table import fetch

EMAIL, PASSWORD = "ann@office.example", "seven rather long words"

Types = Callable[..., Awaitable[str]]


@pytest.fixture
def types(gateway: Gateway) -> Types:
    """Type a command, answer what it reads, and return what it prints."""
    url = gateway.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    environment = {"BOOKINGS_GATEWAY_DATABASE_URL": url, "AMQP_URL": "amqp://unused", "COLUMNS": "300"}

    async def type_(*words: str, reads: str = "", code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, app, words, input=reads, env=environment, color=False)
        assert result.exit_code == code, result.output
        return result.output

    return type_


async def test_an_added_account_logs_in_with_the_password_that_was_read(gateway: Gateway, types: Types) -> None:
    await types("staff", "add", " Ann@Office.example", "--role", "staff", reads=f"{PASSWORD}\n")
    async with gateway.client() as client:
        await log_in(client, EMAIL, PASSWORD)
        assert (await client.get("/session")).json()["role"] == "staff"


async def test_a_generated_password_is_printed_once_and_works(gateway: Gateway, types: Types) -> None:
    password = (await types("staff", "add", EMAIL, "--generate")).splitlines()[-1]
    async with gateway.client() as client:
        await log_in(client, EMAIL, password)
    listed = await types("staff", "list")

    assert EMAIL in listed
    assert password not in listed
    assert password != (await types("staff", "set-password", EMAIL, "--generate")).splitlines()[-1]


async def test_an_account_is_changed_disabled_and_enabled(gateway: Gateway, types: Types) -> None:
    await types("staff", "add", EMAIL, "--role", "viewer", reads=PASSWORD)
    await types("staff", "set-role", EMAIL, "admin")
    await types("staff", "disable", EMAIL)
    rows = await fetch(gateway.engine, "SELECT role, disabled_at IS NULL FROM staff")
    await types("staff", "enable", EMAIL)

    assert rows == [("admin", False)]
    assert await fetch(gateway.engine, "SELECT disabled_at IS NULL FROM staff") == [(True,)]
    actors = await fetch(gateway.engine, "SELECT DISTINCT actor_id, actor FROM audit")
    assert [(id_.int, "(command line)" in name) for id_, name in actors] == [(0, True)]


@pytest.mark.parametrize(
    ("words", "reads", "sentence"),
    [
        (("add", EMAIL), "short\n", "A password has 12 to 200 characters."),
        (("add", EMAIL), EMAIL.upper(), "The password is the e-mail address."),
        (("add", EMAIL), "", "A password has 12 to 200 characters."),
        (("add", "no address"), PASSWORD, "'no address' is no e-mail address."),
        (("set-password", EMAIL), PASSWORD, f"{EMAIL} has no account."),
        (("set-role", EMAIL, "admin"), "", f"{EMAIL} has no account."),
        (("disable", EMAIL), "", f"{EMAIL} has no account."),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    types: Types, words: tuple[str, ...], reads: str, sentence: str
) -> None:
    assert (await types("staff", *words, reads=reads, code=1)).strip() == sentence


async def test_an_address_has_one_account(types: Types) -> None:
    await types("staff", "add", EMAIL, reads=PASSWORD)

    assert "has an account already" in await types("staff", "add", EMAIL.upper(), reads=PASSWORD, code=1)


async def test_a_token_is_shown_when_it_is_made_and_never_again(gateway: Gateway, types: Types) -> None:
    token = (await types("tokens", "create", "shop", "--role", "staff", "--days", "7")).strip()
    listed = await types("tokens", "list")
    ((id_,),) = await fetch(gateway.engine, "SELECT CAST(id AS text) FROM api_token")

    async with gateway.client(headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.get("/session")).json()["role"] == "staff"
        await types("tokens", "revoke", id_)
        assert (await client.get("/session")).status_code == 401
    assert id_ in listed
    assert token not in listed
    assert "revoked already" in await types("tokens", "revoke", id_, code=1)


@pytest.mark.parametrize("name", ["x" * 201, "two\nlines", "bell\a"])
async def test_a_name_that_no_line_of_the_audit_can_show_is_refused(gateway: Gateway, types: Types, name: str) -> None:
    for words in (("tokens", "create", name), ("staff", "add", EMAIL, "--name", name, "--generate")):
        assert "1 to 200 characters" in await types(*words, code=1)
    assert "1 to 200 characters" in await types("tokens", "create", " ", code=1)
    assert await fetch(gateway.engine, "SELECT name FROM staff UNION ALL SELECT name FROM api_token") == []
