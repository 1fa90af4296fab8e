"""The ledger of the history import."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
