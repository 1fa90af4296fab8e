"""``bookings-gateway staff`` and ``tokens``: who may use the admin API."""

import getpass
import secrets
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import accounts, tokens
from bookings_gateway.access.actor import Actor, Role
from bookings_gateway.access.errors import StaffRefusal
from shared.cli import Program, console, print_rows, with_engine

Email = Annotated[str, typer.Argument(metavar="EMAIL")]
RoleOption = Annotated[Role, typer.Option(help="What they may do")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password up and print it, this once")]

_NIL = UUID(int=0)
_STAFF_COLUMNS = ["e-mail", "name", "role", "created", "disabled"]
_TOKEN_COLUMNS = ["id", "name", "role", "created", "expires", "last used", "revoked"]

Work = Callable[[AsyncEngine, Actor], Coroutine[Any, Any, None]]


def staff_app(program: Program) -> typer.Typer:
    """Return the commands of staff accounts. A password is asked for, or read from standard input."""
    app = typer.Typer(no_args_is_help=True, help="Staff accounts of the admin API.")
    _add_accounts(app, program)
    _add_changes(app, program)
    return app


def tokens_app(program: Program) -> typer.Typer:
    """Return the commands of bearer tokens."""
    app = typer.Typer(no_args_is_help=True, help="Bearer tokens, for programs that use the admin API.")

    @app.command("create")
    def create(
        name: Annotated[str, typer.Argument(help="Which program it is for")],
        role: RoleOption = Role.VIEWER,
        days: Annotated[int, typer.Option(min=1, max=3650, help="How long it lets in")] = 90,
    ) -> None:
        """Make a token and print it. It is shown this once."""

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            typer.echo(await tokens.create_token(engine, actor, name=name, role=role, lifetime=timedelta(days=days)))

        _run(program, work)

    @app.command("list")
    def list_() -> None:
        """List all tokens, the ended ones too."""

        async def work(engine: AsyncEngine, _: Actor) -> None:
            print_rows([tuple(row.values()) for row in await tokens.list_tokens(engine)], _TOKEN_COLUMNS)

        _run(program, work)

    @app.command("revoke")
    def revoke(token_id: Annotated[UUID, typer.Argument(metavar="ID")]) -> None:
        """Let nobody in by this token any more."""

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await tokens.revoke_token(engine, actor, token_id=token_id)
            console.print(f"{token_id} is revoked")

        _run(program, work)

    return app


def _add_accounts(app: typer.Typer, program: Program) -> None:
    @app.command("add")
    def add(
        email: Email,
        name: Annotated[str, typer.Option(help="Shown in the audit")] = "",
        role: RoleOption = Role.VIEWER,
        generate: Generate = False,  # noqa: FBT002 - typer makes it an option
    ) -> None:
        """Make an account."""
        password = _password(generate=generate)

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await accounts.add_staff(engine, actor, email=email, name=name, role=role, password=password)
            _tell(f"{accounts.normalised_email(email)} may log in as {role}", password if generate else None)

        _run(program, work)

    @app.command("list")
    def list_() -> None:
        """List all accounts."""

        async def work(engine: AsyncEngine, _: Actor) -> None:
            print_rows([tuple(row.values()) for row in await accounts.list_staff(engine)], _STAFF_COLUMNS)

        _run(program, work)


def _add_changes(app: typer.Typer, program: Program) -> None:
    @app.command("set-role")
    def set_role(email: Email, role: Annotated[Role, typer.Argument()]) -> None:
        """Give another role; ends the account's sessions."""

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await accounts.set_role(engine, actor, email=email, role=role)
            console.print(f"{email} is {role} now")

        _run(program, work)

    @app.command("set-password")
    def set_password(email: Email, generate: Generate = False) -> None:  # noqa: FBT002 - typer makes it an option
        """Give another password; ends the account's sessions."""
        password = _password(generate=generate)

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await accounts.set_password(engine, actor, email=email, password=password)
            _tell(f"{email} has another password", password if generate else None)

        _run(program, work)

    @app.command("disable")
    def disable(email: Email) -> None:
        """Let nobody in by this account, at once."""

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await accounts.disable(engine, actor, email=email)
            console.print(f"{email} is disabled")

        _run(program, work)

    @app.command("enable")
    def enable(email: Email) -> None:
        """Let the account in again."""

        async def work(engine: AsyncEngine, actor: Actor) -> None:
            await accounts.enable(engine, actor, email=email)
            console.print(f"{email} is enabled")

        _run(program, work)


def _password(*, generate: bool) -> str:
    """Ask for a password, or read one line where there is no terminal: an argument would show in `ps`."""
    if generate:
        return secrets.token_urlsafe(18)
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _tell(sentence: str, password: str | None) -> None:
    console.print(sentence)
    if password:
        typer.echo(password)


def _run(program: Program, work: Work) -> None:
    """Run ``work`` as the operator who is logged in to this machine; a refusal becomes a sentence and exit code 1."""
    actor = Actor(_NIL, f"{getpass.getuser()} (command line)", Role.ADMIN)
    try:
        with_engine(program, lambda engine: work(engine, actor))
    except StaffRefusal as refusal:
        console.print(f"[red]{refusal}[/]")
        raise typer.Exit(1) from None
