"""``bookings-gateway history``: moving the history across, step by step."""

import typer

from bookings_gateway.cli_history_after import add_after
from bookings_gateway.cli_history_before import add_before
from bookings_gateway.cli_history_errors import errors_app
from bookings_gateway.cli_history_import import add_import
from shared.cli import Program


def history_app(program: Program) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(no_args_is_help=True, help="Move the bookings of the past across; look, verify, and back.")
    add_before(app, program)
    add_import(app, program)
    add_after(app, program)
    app.add_typer(errors_app(program), name="errors")
    return app
