"""How each service's template database is made: by the service's own migrations."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from shared.database import migrate
from support.legacy_table import create_gateway_database
from support.sample_service import create_tables


def migrated_by(service: str) -> Callable[[str], None]:
    """Return what brings an empty database to the newest revision of ``service``."""

    def run(url: str) -> None:
        package = import_module(service)
        migrate(url, Path(str(package.__file__)).parent / "migrations")

    return run


TEMPLATES: dict[str, Callable[[str], None]] = {
    "users": migrated_by("users"),
    "stats": migrated_by("stats"),
    "payments": migrated_by("payments"),
    "bookings_gateway": create_gateway_database,
    "sample": create_tables,
}
