"""What must have happened before an import begins: nothing in the way, and a backup, or a reason for none."""

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


async def require_ready(history: History, *, by: str, without_backup: str | None = None) -> None:
    """Raise ``NotReady`` while something stands in the way of an import, or nothing was backed up.

    ``without_backup`` is why there is none; it is kept with the name. One that goes on has its backup behind it.
    """
    async with history.engine.connect() as connection:
        blocking = await obstacles(connection, await history.source(connection))
        is_new = await runs.current(connection) is None
        is_backed_up = (await connection.execute(_RESTORED)).scalar_one()
    if blocking:
        told = "; ".join(f"{point.what}: {point.found}" for point in blocking)
        raise NotReady(f"This stands in the way: {told}. See `bookings-gateway history preflight`.")
    if without_backup:
        await note_step(history.engine, "without-backup", passed=True, evidence={}, name=by, note=without_backup)
    elif is_new and not is_backed_up:
        raise NotReady(
            "There is no backup that was restored and compared. Make one with `bookings-gateway history backup`, or "
            "say why there is none: --without-backup REASON, which is kept with your name."
        )
