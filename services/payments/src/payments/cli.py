"""``payments``: what an operator types."""

from pathlib import Path

from payments.cli_events import events_app
from payments.cli_operations import add_commands
from payments.main import NAME, create_app
from payments.settings import Settings
from shared.cli import Program, base_app, run_app

PROGRAM = Program(name=NAME, settings=Settings, create_app=create_app, migrations=Path(__file__).parent / "migrations")

app = base_app(PROGRAM)
app.add_typer(events_app(PROGRAM), name="events")
add_commands(app, PROGRAM)


def main() -> None:
    """Run the command line."""
    run_app(app, NAME)
