"""Since when a user waits to be looked at, and when bulk events last touched it."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE public.to_announce
            ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN touched_at timestamptz NOT NULL DEFAULT now()
        """
    )


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
