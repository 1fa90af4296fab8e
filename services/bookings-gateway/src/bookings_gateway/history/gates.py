"""What an import begins with: nothing in the way, and a backup, or a warning that there is none."""

from sqlalchemy import text

from bookings_gateway.history import runs
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.move import History
from bookings_gateway.history.preflight import obstacles
from bookings_gateway.history.steps import note_step

# A backup of the table as it was before anything of this run; a checklist's note of one is none.
_RESTORED = text(
    """
    SELECT EXISTS (SELECT FROM migration_step WHERE step = 'backup' AND passed
                   AND CAST(evidence ->> 'restored' AS boolean))
    """
)


async def require_ready(history: History, *, by: str) -> str | None:
    """Raise ``NotReady`` while something stands in the way of an import.

    Return what a first one without a backup is to be warned of; that it began so is kept with the name.
    """
    async with history.engine.connect() as connection:
        blocking = await obstacles(connection, await history.source(connection))
        is_new = await runs.current(connection) is None
        is_backed_up = (await connection.execute(_RESTORED)).scalar_one()
    if blocking:
        told = "; ".join(f"{point.what}: {point.found}" for point in blocking)
        raise NotReady(f"This stands in the way: {told}. See `bookings-gateway history preflight`.")
    if not is_new or is_backed_up:
        return None
    await note_step(history.engine, "without-backup", passed=False, evidence={}, name=by, note=None)
    return (
        "Nothing was backed up, restored and compared: `bookings-gateway history backup` does it. The import goes on; "
        "that it began without one is kept with your name."
    )
