"""Named failures."""

from shared.errors import PermanentError


class FutureTimestamp(PermanentError):
    """The event claims to have happened more than a day from now: a clock is wrong. Requeue it once mended."""


class RebuildRunning(Exception):
    """Somebody is rebuilding already; the message says who, since when and how far."""


class Cancelled(Exception):
    """An operator wished the rebuild to end; nothing of it is left."""


class PersonChanging(Exception):
    """Bookings kept changing hands while one person was rebuilt; nothing was replaced."""


class NoGeneration(Exception):
    """There is no generation to go back to."""


class JournalNeeded(Exception):
    """That part of the journal is still needed; the message says by what."""
