"""`local-stack demo`: bookings and their payments travel through the running system, watched hop by hop.

What is seen is compared with the customer's own statistics SQL and with what Stripe was told. The system stays up.
"""

import asyncio
import os
import time
from collections.abc import Callable

import typer
from rich.console import Console

from local_stack.demo_actions import Actions
from local_stack.demo_checks import Result, check
from local_stack.demo_clients import Clients, connected
from local_stack.demo_hops import Hop, Journey
from local_stack.demo_routes import booking_route, payment_route, refund_route
from local_stack.demo_sample import NEW_BOOKINGS, load_sample, refuse_foreign_bookings
from local_stack.demo_screen import show_failure_logs, show_result, show_where_to_look, watching
from local_stack.errors import StackError
from local_stack.ports import LOOPBACK
from local_stack.services import GATEWAY
from local_stack.stack import Stack

_LEFT_RUNNING = "The system is still running: make status, make logs, make down."


def main() -> None:
    """Run the demo; raises a `StackError` that names the hop that did not happen."""
    console = Console(highlight=False)
    _keep_proxies_out()
    started = time.monotonic()
    stack = Stack(say=lambda step: console.print(f"[green]✓[/] {step}"))
    _bring_up(stack, console)
    try:
        result = asyncio.run(_story(stack, console))
    except KeyboardInterrupt:
        console.print(f"Interrupted. {_LEFT_RUNNING}")
        raise typer.Exit(130) from None
    show_result(console, result, seconds=time.monotonic() - started)
    show_where_to_look(console, stack)


def _keep_proxies_out() -> None:
    """Everything here is on loopback, and some clients would send even that through a proxy of the environment."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK


def _bring_up(stack: Stack, console: Console) -> None:
    with console.status("starting"):
        if stack.is_up():
            refuse_foreign_bookings(stack)
            console.print("[green]✓[/] the stack is up already")
        else:
            _with_sample(stack, lambda rows: console.print(f"[green]✓[/] {rows} sample bookings from before"))
            stack.up()
        console.print(f"[green]✓[/] localstripe, a fake Stripe, on port {stack.start_stripe().port}")


def _with_sample(stack: Stack, say: Callable[[int], object]) -> None:
    """Have rows in the legacy table before the gateway first sees it; on failure nothing is left running."""
    try:
        if rows := load_sample(stack):
            say(rows)
    except BaseException:  # also Ctrl-C, as in `Stack.up`
        stack.down()
        raise


async def _story(stack: Stack, console: Console) -> Result:
    async with connected(stack) as clients:
        actions = await Actions.begin(clients)
        bookings = [Journey(b.title, booking_route(clients, actions, b)) for b in NEW_BOOKINGS]
        payments = [
            *(Journey(b.payment_title, payment_route(clients, actions, b)) for b in NEW_BOOKINGS if b.paid),
            *(Journey(b.refund_title, refund_route(clients, actions, b)) for b in NEW_BOOKINGS if b.refunded),
        ]
        with watching(console, bookings, payments):
            await _follow(stack, console, bookings)
            # One user's payment and its refund wait for each other's totals: a refund starts when its payment arrived.
            for stage in (payments[:-1], payments[-1:]):
                await _follow(stack, console, stage)
        return await _checked(clients, actions)


async def _follow(stack: Stack, console: Console, journeys: list[Journey]) -> None:
    await asyncio.gather(*(journey.follow() for journey in journeys))
