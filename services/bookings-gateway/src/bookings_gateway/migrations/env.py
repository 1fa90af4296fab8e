"""Own tables live beside the legacy ones, in a schema of their own, which has to be there before Alembic's own table.

A schema that is there already needs no right to create one.
"""

from alembic import context
from sqlalchemy import text

from shared.migration_env import run

context.config.attributes["connection"].execute(
    text(
        """
        DO $$ BEGIN
            IF to_regnamespace('gateway') IS NULL THEN CREATE SCHEMA gateway; END IF;
        END $$
        """
    )
)
run()
