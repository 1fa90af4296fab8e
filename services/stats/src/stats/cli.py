"""``stats``: what an operator types."""

from pathlib import Path

from shared.cli import Program, base_app, console, run_app
from stats.cli_engine import with_bulk_engine
from stats.cli_operations import add_operations
from stats.main import NAME, create_app
from stats.service.restored import mend_after_restore
from stats.settings import Settings


def mend_restored_journal() -> None:
    """Make a journal that came from another server readable here."""
    if mended := with_bulk_engine(PROGRAM, mend_after_restore):
        console.print(f"the journal came from another server: {mended:,} events made readable here")


PROGRAM = Program(
    name=NAME,
    settings=Settings,
    create_app=create_app,
    migrations=Path(__file__).parent / "migrations",
    after_migrate=mend_restored_journal,
)

app = base_app(PROGRAM)
add_operations(app, PROGRAM)


def main() -> None:
    """Run the command line."""
    run_app(app, NAME)
