"""`local-stack demo`: bookings and their payments travel through the running system, watched hop by hop.

What came of them is compared with the customer's own statistics SQL and with what Stripe was told. The system stays up.
"""

import asyncio
import os
import time

import typer
from rich.console import Console

from local_stack.demo_check import Result, checked
from local_stack.demo_clients import Clients, connected
from local_stack.demo_deals import Deal, new_deals
from local_stack.demo_history import move_history
from local_stack.demo_hops import AWAY, HopMissing, Journey
from local_stack.demo_routes import booking_journey, payment_journey, refund_journey
from local_stack.demo_sample import load_sample, refuse_foreign_bookings
from local_stack.demo_screen import show_result, show_where_to_look, watching
from local_stack.errors import StackError
from local_stack.ports import LOOPBACK
from local_stack.stack import Stack

_LEFT_RUNNING = "The system is still running: make status, make logs, make down."


def main() -> None:
    """Run the demo; raises a `StackError` that says which hop did not happen."""
    started = time.monotonic()
    console = Console(highlight=False)
    _keep_proxies_out()
    stack = Stack(say=lambda step: console.print(f"[green]✓[/] {step}"))
    with console.status("starting"):
        _bring_up(stack, console)
    move_history(stack, console)
    try:
        result = asyncio.run(_tell(stack, console))
    except AWAY as error:
        raise StackError(f"A part of the system does not answer: {error!r}. {_LEFT_RUNNING}") from error
    except KeyboardInterrupt:
        console.print(f"Interrupted. {_LEFT_RUNNING}")
        raise typer.Exit(130) from None
    show_result(console, result, seconds=time.monotonic() - started)
    show_where_to_look(console, stack)


def _keep_proxies_out() -> None:
    """Everything here is on loopback, and some clients would send even that through the environment's proxy."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK


def _bring_up(stack: Stack, console: Console) -> None:
    """Have everything running, and rows in the legacy table that were there before the gateway first saw it."""
    if stack.is_up():
        refuse_foreign_bookings(stack)
    else:
        _prepare_legacy_table(stack, console)
        stack.up()
    console.print(f"[green]✓[/] localstripe, a fake Stripe, on port {stack.start_stripe().port}")


def _prepare_legacy_table(stack: Stack, console: Console) -> None:
    """As in `Stack.up`, a failure or an interrupt leaves nothing running."""
    try:
        rows = load_sample(stack)
        refuse_foreign_bookings(stack)
    except BaseException:
        stack.down()
        raise
    if rows:
        console.print(f"[green]✓[/] a legacy table with {rows} bookings made before this system came")


async def _tell(stack: Stack, console: Console) -> Result:
    async with connected(stack) as clients:
        deals = await new_deals(clients)
        bookings = [booking_journey(clients, deal) for deal in deals]
        payments = [payment_journey(clients, deal) for deal in deals if deal.paid]
        refunds = [refund_journey(clients, deal) for deal in deals if deal.refunded]
        with watching(console, {"booking": bookings, "payment": [*payments, *refunds]}):
            for stage in (bookings, payments, refunds):
                await _follow(stage, stack)
        return await _compare(clients, deals)


async def _follow(journeys: list[Journey], stack: Stack) -> None:
    await asyncio.gather(*(journey.follow() for journey in journeys))
    for failure in filter(None, (journey.failure for journey in journeys)):
        raise _told(failure, stack)


def _told(failure: HopMissing, stack: Stack) -> StackError:
    lines = stack.services.last_lines(failure.at, lines=8)
    return StackError(f"{failure}\nThe end of the log of {failure.at.name}:\n{lines}\n{_LEFT_RUNNING}")


async def _compare(clients: Clients, deals: list[Deal]) -> Result:
    result = await checked(clients, deals)
    if result.differences:
        raise StackError("\n".join([*result.differences, _LEFT_RUNNING]))
    return result
