"""`local-stack`: what a developer types, mostly by way of `make`."""

import contextlib
import importlib
import shlex
import signal
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from local_stack.errors import StackError
from local_stack.logs import follow
from local_stack.services import GATEWAY
from local_stack.stack import Part, Stack

console = Console(highlight=False)
app = typer.Typer(name="local-stack", no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def up(
    foreground: Annotated[  # noqa: FBT002  typer makes it an option
        bool, typer.Option("--foreground", help="Show the logs; Ctrl-C stops everything")
    ] = False,
) -> None:
    """Start PostgreSQL, RabbitMQ and the four services, and wait until they are ready."""
    run_up(_stack(), foreground=foreground)


def run_up(stack: Stack, *, foreground: bool) -> None:
    """Bring `stack` up, say where it is, and in the foreground stay until Ctrl-C or the services' end."""
    _take_signals_as_interrupt()
    try:
        with console.status("starting"):
            started = stack.up()
    except KeyboardInterrupt:
        _fail("Interrupted; everything is stopped.", code=130)
    _tell(_where_to_look(stack) if started else f"It is already up. {_where_to_look(stack)}")
    if foreground:
        _stay(stack)


@app.command()
def down() -> None:
    """Stop everything and leave no process."""
    with console.status("stopping"):
        _stack().down()
    console.print("Everything is stopped.")


@app.command()
def status() -> None:
    """Show every part: process, port, whether it is ready, and if not, why. Exit code 1 when one is not."""
    stack = _stack()
    parts = stack.status()
    console.print(_table(parts))
    if not all(part.ready for part in parts):
        raise typer.Exit(1)
    _tell(stack.how_to_get_in())


@app.command()
def logs() -> None:
    """Follow what the services print, until Ctrl-C."""
    stack = _stack()
    if not stack.services.log.exists():
        raise StackError("There are no logs yet: start the stack with `make up`.")
    with contextlib.suppress(KeyboardInterrupt):
        _show_logs(stack)


@app.command()
def env() -> None:
    """Print the services' settings for a shell: `eval "$(local-stack env)"`, then run `payments`, `users`, …"""
    for name, value in sorted(_stack().settings().items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def demo() -> None:
    """Start the stack and watch one booking and its payment travel through it."""
    importlib.import_module("local_stack.demo").main()


def main() -> None:
    """Run the command line; what we expect to go wrong becomes a sentence and exit code 1."""
    try:
        app()
    except StackError as error:
        _fail(str(error))
    except PermissionError as error:
        _fail(f"{error.filename} belongs to another user. Run as that user, or remove .local/ (`make clean`).")


def _fail(sentence: str, *, code: int = 1) -> NoReturn:
    _tell(sentence, style="red")
    sys.exit(code)


def _tell(sentence: str, *, style: str = "") -> None:
    """Print as it is: a path in it is not to be broken into lines, nor a bracket taken for a colour."""
    console.print(sentence, style=style, markup=False, soft_wrap=True)


def _stack() -> Stack:
    return Stack(say=lambda step: console.print(f"[green]✓[/] {step}"))


def _stay(stack: Stack) -> None:
    """Show the logs until Ctrl-C or until the services end, then stop everything."""
    try:
        _show_logs(stack)
        console.print("The services have ended.")
    except KeyboardInterrupt:
        console.print("Stopping …")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave half of it running
        stack.down()
    console.print("Everything is stopped.")


def _take_signals_as_interrupt() -> None:
    """A closed terminal or a `kill` ends the stack as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def _show_logs(stack: Stack) -> None:
    for line in follow(stack.services.log, until=lambda: stack.services.pid() is None):
        typer.echo(line, nl=False)


def _where_to_look(stack: Stack) -> str:
    return (
        f"The gateway is at {stack.url(GATEWAY)} (make status, make logs, make down).\n{stack.how_to_get_in()}".strip()
    )


def _table(parts: list[Part]) -> Table:
    table = Table("part", "process", "port", "ready", "remark")
    for part in parts:
        ready = "[green]yes[/]" if part.ready else "[red]no[/]"
        table.add_row(part.name, str(part.pid or "–"), str(part.port), ready, part.remark)
    return table
