"""Failures that change what happens to an event."""


class PermanentError(Exception):
    """Trying again cannot help: the event goes straight to the dead letters with this reason."""
