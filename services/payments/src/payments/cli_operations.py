"""Commands for what people do about payments: reconcile, unmatched, match, unmatch."""

import getpass
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from payments.errors import AlreadyReconciling, StripeAway, StripeRefused
from payments.operations import operations
from payments.schemas import shown
from payments.service.examine import Expected
from payments.service.find_payments import Wanted, find_payments
from payments.service.match_by_hand import match_by_hand, unmatch_by_hand
from payments.service.process_events import EventProcessor
from payments.service.reconcile_report import Missed, Report
from payments.service.suggest_bookings import Suggestion, suggest_bookings
from payments.settings import Settings
from shared.cli import Program, console, print_rows, with_engine
from shared.refusals import Refusal

_SHOWN = 100
Payment = Annotated[UUID, typer.Argument(metavar="PAYMENT", help="The payment's id")]


def add_commands(app: typer.Typer, program: Program) -> None:
    """Add the commands."""
    source = f"/{program.name}"
    _add_reconcile(app, program, source)
    _add_unmatched(app, program)
    _add_matching(app, program, source)


def _add_reconcile(app: typer.Typer, program: Program, source: str) -> None:
    @app.command("reconcile")
    def reconcile_command(
        since: Annotated[
            datetime | None, typer.Option(help="Compare from then on; else from the last complete run")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was missed; write nothing")] = False,  # noqa: FBT002
    ) -> None:
        """Ask Stripe what happened and take in what never arrived. A second run changes nothing."""
        settings = Settings()

        async def work(engine: AsyncEngine) -> None:
            expected = Expected(livemode=settings.livemode, account=settings.stripe_account)
            parts = operations(settings, engine, EventProcessor(engine, source, expected), source=source)
            if parts is None:
                console.print("[red]PAYMENTS_STRIPE_API_KEY is not set[/]: a restricted key with read rights is enough")
                raise typer.Exit(2)
            try:
                run = parts.reconciler.run(since=since.astimezone() if since else None, dry_run=dry_run)
                _print(await run)
            except (StripeAway, StripeRefused, AlreadyReconciling) as error:
                console.print(f"[red]not finished[/]: {error}. What was found so far is kept; run it again.")
                raise typer.Exit(1) from None
            finally:
                await parts.api.close()

        with_engine(program, work)


def _print(report: Report) -> None:
    console.print(f"compared {report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC")
    console.print(f"events:  {report.events_seen:,} listed, {len(report.events):,} missed")
    console.print(f"objects: {report.objects_seen:,} read, {len(report.objects):,} differed")
    for name, found in (("gone at Stripe", report.gone), ("unreadable", report.unreadable)):
        if found:
            console.print(f"{name}: {', '.join(found[:_SHOWN])}")
    if report.foreign:
        console.print(f"of the other mode, left alone: {report.foreign}")
    missed = [*report.events, *report.objects]
    if missed:
        print_rows([_row(each) for each in missed[:_SHOWN]], ["id", "type", "created"])
    if len(missed) > _SHOWN:
        console.print(f"and {len(missed) - _SHOWN:,} more")
    if report.dry_run:
        console.print("dry run: nothing was written")


def _row(missed: Missed) -> Sequence[object]:
    return missed.id, missed.type, missed.created


def _add_unmatched(app: typer.Typer, program: Program) -> None:
    @app.command("unmatched")
    def unmatched_command(limit: Annotated[int, typer.Option(min=1, max=1000)] = 50) -> None:
        """List payments without a booking, newest first, with the booking each may belong to."""

        async def work(engine: AsyncEngine) -> None:
            page = await find_payments(engine, Wanted(unmatched=True), limit=limit)
            suggestions = await suggest_bookings(engine, page.payments)
            rows = [
                (
                    row["id"],
                    row["status"],
                    f"{shown(row['amount'], row['currency'])} {row['currency']}",
                    row["created_at"],
                    row["stripe_payment_intent_id"] or row["stripe_charge_id"],
                    "\n".join(map(_suggestion, suggestions[row["id"]])),
                )
                for row in page.payments
            ]
            print_rows(rows, ["payment", "status", "amount", "created", "at Stripe", "perhaps"])

        with_engine(program, work)


def _suggestion(each: Suggestion) -> str:
    return f"{each.reference or each.booking_id}{'' if each.same_amount else ' (another amount)'}"


def _add_matching(app: typer.Typer, program: Program, source: str) -> None:
    @app.command("match")
    def match_command(
        payment: Payment, booking: Annotated[str, typer.Argument(metavar="BOOKING", help="Its id or reference")]
    ) -> None:
        """Give a payment to a booking; it stays there until said otherwise."""

        async def work(engine: AsyncEngine) -> None:
            found = await match_by_hand(engine, source, payment, booking=booking, by=getpass.getuser())
            console.print(f"{payment} belongs to booking {found}")

        _refusing(program, work)

    @app.command("unmatch")
    def unmatch_command(payment: Payment) -> None:
        """Take a payment away from its booking; no booking finds it by itself any more."""

        async def work(engine: AsyncEngine) -> None:
            await unmatch_by_hand(engine, source, payment, by=getpass.getuser())
            console.print(f"{payment} belongs to no booking")

        _refusing(program, work)


def _refusing(program: Program, work: Callable[[AsyncEngine], Coroutine[Any, Any, None]]) -> None:
    try:
        with_engine(program, work)
    except Refusal as refusal:
        console.print(f"[red]{refusal}[/]")
        raise typer.Exit(1) from None
