"""Identifiers."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """Return a new uuid7: unique, and roughly ordered by time so that indexes stay compact."""
    identifier: UUID = uuid_utils.compat.uuid7()
    return identifier
