"""What the admin API searches and shows."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
