"""People, what was seen of them, and which bookings are theirs."""

from alembic import op

from shared import tables

revision = "0001"
down_revision = None

STATEMENTS = [
    *tables.EVENT_LOG,
    *tables.INBOX,
    *tables.DEAD_LETTER,
    # identity: the normalised address, or "booking:<id>" for a booking without a usable one (a placeholder).
    """
    CREATE TABLE users (
        id            uuid PRIMARY KEY,
        identity      text NOT NULL UNIQUE,
        email         text,
        sequence      bigint NOT NULL DEFAULT 0,
        first_name    text,
        last_name     text,
        phone         text,
        company_name  text,
        created_at    timestamptz NOT NULL,
        CHECK (email = identity OR (email IS NULL AND identity LIKE 'booking:%'))
    )
    """,
    """
    CREATE TABLE contact_variant (
        user_id        uuid NOT NULL REFERENCES users,
        first_name     text,
        last_name      text,
        email_written  text,
        phone          text,
        company        text,
        first_seen_at  timestamptz NOT NULL,
        last_seen_at   timestamptz NOT NULL,
        UNIQUE NULLS NOT DISTINCT (user_id, first_name, last_name, email_written, phone, company)
    )
    """,
    "CREATE INDEX contact_variant_first ON contact_variant (user_id, first_seen_at)",
    "CREATE INDEX contact_variant_last ON contact_variant (user_id, last_seen_at)",
    """
    CREATE TABLE booking_link (
        booking_id        text PRIMARY KEY,
        user_id           uuid REFERENCES users,
        booking_sequence  bigint NOT NULL DEFAULT 0,
        sequence          bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX booking_link_user_id ON booking_link (user_id)",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
