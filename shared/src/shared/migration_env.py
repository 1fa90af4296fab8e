"""What every service's ``migrations/env.py`` does: run the revisions on the connection it is given."""

from alembic import context
from sqlalchemy import Connection


def run() -> None:
    """Run the migrations of the current Alembic context, inside the caller's transaction."""
    connection = context.config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("migrations run through the service's own `migrate` command")
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
