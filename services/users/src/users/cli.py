"""``users``: what an operator types."""

from pathlib import Path

from shared.cli import Program, base_app, run_app
from users.cli_people import add_commands
from users.main import NAME, create_app
from users.settings import Settings

PROGRAM = Program(name=NAME, settings=Settings, create_app=create_app, migrations=Path(__file__).parent / "migrations")

app = base_app(PROGRAM)
add_commands(app, PROGRAM)


def main() -> None:
    """Run the command line."""
    run_app(app, NAME)
