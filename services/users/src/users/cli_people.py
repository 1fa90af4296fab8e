"""Commands for what people decide about people: list, show, merge, unmerge, erase, duplicates."""

import getpass
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.cli import Program, console, print_rows, with_engine
from shared.refusals import Refusal
from users.domain import ERASURE_REASONS
from users.service.audit import Decision
from users.service.erase_user import ErasePreview, erase_user, preview_erase
from users.service.find_user import list_users, read_audit, show_user
from users.service.merge_users import merge_users, unmerge_user
from users.service.preview_merge import MergePreview, preview_merge
from users.service.suggest_duplicates import dismiss_duplicate, find_duplicates, list_duplicates

User = Annotated[UUID, typer.Argument(metavar="USER", help="The user's id")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking")]
Reason = Annotated[str | None, typer.Option(help="Why; kept with who and when")]
ErasureReason = Annotated[
    str | None, typer.Option(help=f"Why: {', '.join(ERASURE_REASONS)}; any other text is kept as other")
]

_HIDDEN = {"id", "identity", "phone_key", "corrections", "merge_sequence", "variants"}


def add_commands(app: typer.Typer, program: Program) -> None:
    """Add the commands."""
    source = f"/{program.name}"
    _add_reading(app, program)
    _add_merging(app, program, source)
    _add_erasing(app, program, source)
    _add_duplicates(app, program)


def _add_reading(app: typer.Typer, program: Program) -> None:
    @app.command("list")
    def list_command(
        search: Annotated[str | None, typer.Option(help="Only with this in any field, or this id")] = None,
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    ) -> None:
        """List users, newest first."""

        async def work(engine: AsyncEngine) -> None:
            columns = ["id", "email", "first_name", "last_name", "phone", "company_name", "merged_into", "erased_at"]
            rows = await list_users(engine, text=search, limit=limit)
            print_rows([[row[column] for column in columns] for row in rows], columns)

        _refusing(program, work)

    @app.command("show")
    def show_command(user: User) -> None:
        """Show a user: whom they count as, who counts as them, every contact seen, what was decided about them."""

        async def work(engine: AsyncEngine) -> None:
            found = await show_user(engine, user)
            for key, value in found.items():
                if key not in _HIDDEN:
                    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
                    console.print(f"{key}: {shown}", markup=False, highlight=False)
            columns = ["first_name", "last_name", "email_written", "phone", "company", "first_seen_at", "last_seen_at"]
            print_rows([[row[column] for column in columns] for row in found["variants"]], columns)
            decided = ["at", "by", "action", "user_id", "other_id", "reason"]
            print_rows([[row[column] for column in decided] for row in await read_audit(engine, user)], decided)

        _refusing(program, work)


def _add_merging(app: typer.Typer, program: Program, source: str) -> None:
    @app.command("merge")
    def merge_command(
        user: User,
        into: Annotated[UUID, typer.Argument(metavar="INTO", help="Whom the user will count as")],
        reason: Reason = None,
        yes: Yes = False,  # noqa: FBT002
    ) -> None:
        """Let a user count as another one, after a preview; `unmerge` undoes it."""

        async def work(engine: AsyncEngine) -> None:
            _print_merge(await preview_merge(engine, user, into=into))
            _ask(f"Merge {user} into {into}?", yes=yes)
            await merge_users(engine, source, user, into=into, decision=_decision(reason))
            console.print(f"{user} counts as {into}")

        _refusing(program, work)

    @app.command("unmerge")
    def unmerge_command(user: User, reason: Reason = None, yes: Yes = False) -> None:  # noqa: FBT002
        """Let a merged user count as themselves again: all is as it was before the merge."""

        async def work(engine: AsyncEngine) -> None:
            found = await show_user(engine, user)
            console.print(f"{user} is merged into {found['merged_into']}, and takes back what is theirs")
            _ask(f"Unmerge {user}?", yes=yes)
            await unmerge_user(engine, source, user, decision=_decision(reason))
            console.print(f"{user} counts as themselves")

        _refusing(program, work)


def _add_erasing(app: typer.Typer, program: Program, source: str) -> None:
    @app.command("erase")
    def erase_command(user: User, reason: ErasureReason = None, yes: Yes = False) -> None:  # noqa: FBT002
        """Erase a person for ever, in every service; amounts, dates and ids stay. There is no way back."""

        async def work(engine: AsyncEngine) -> None:
            _print_erasure(await preview_erase(engine, user))
            confirm = str(user) if yes else typer.prompt("Type the user's id or e-mail address to erase them")
            users = await erase_user(engine, source, user, confirm=confirm, decision=_decision(reason))
            console.print(f"{len(users)} erased")

        _refusing(program, work)


def _add_duplicates(app: typer.Typer, program: Program) -> None:
    @app.command("duplicates")
    def duplicates_command(
        find: Annotated[bool, typer.Option("--find", help="Look for them now, not at the next hour")] = False,  # noqa: FBT002
        dismiss: Annotated[
            tuple[UUID, UUID] | None, typer.Option(help="Two users who are two people; not suggested again")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    ) -> None:
        """List users who may be one person, likeliest first. None is ever merged by itself."""

        async def work(engine: AsyncEngine) -> None:
            if dismiss:
                await dismiss_duplicate(engine, dismiss, by=getpass.getuser())
            if find:
                console.print(f"{await find_duplicates(engine)} found")
            page = await list_duplicates(engine, limit=limit)
            rows = [(row["one_id"], row["other_id"], row["score"], ", ".join(row["reasons"])) for row in page.rows]
            print_rows(rows, ["user", "perhaps the same as", "score", "why"])

        _refusing(program, work)


def _print_merge(preview: MergePreview) -> None:
    rows = [(each.field, each.kept, each.merged, "differs" if each.differs else "") for each in preview.fields]
    print_rows(rows, ["field", "shows", "of the merged user", ""])
    console.print(", ".join(f"{count} {name}" for name, count in preview.moves.items()))


def _print_erasure(preview: ErasePreview) -> None:
    console.print(f"erases {', '.join(map(str, preview.users))}: {', '.join(preview.emails) or 'no address'}")
    console.print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in preview.counts.items()))


def _decision(reason: str | None) -> Decision:
    return Decision(getpass.getuser(), reason)


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True)


def _refusing(program: Program, work: Callable[[AsyncEngine], Coroutine[Any, Any, None]]) -> None:
    try:
        with_engine(program, work)
    except Refusal as refusal:
        console.print(f"[red]{refusal}[/]")
        raise typer.Exit(1) from None
