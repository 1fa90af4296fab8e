"""People, what was seen of them, and which bookings are theirs."""

from alembic import op

from shared import tables

revision = "0001"
down_revision = None

STATEMENTS = [
    *tables.EVENT_LOG,
    # A user has two series of versions: what is known of the person, and whom they count as.
    "ALTER TABLE event_log DROP CONSTRAINT event_log_subject_sequence_key",
    """
    CREATE UNIQUE INDEX event_log_subject_sequence
    ON event_log (subject, (type IN ('user.merged', 'user.unmerged')), sequence)
    """,
    *tables.INBOX,
    *tables.DEAD_LETTER,
    # identity: the normalised address; "booking:<id>" for a booking without a usable one (a placeholder); or
    # "erased:<id>". corrections: what staff say instead of the bookings. phone_key: the phone in E.164.
    # sequence counts versions of the person, merge_sequence those of merged_into.
    """
    CREATE TABLE users (
        id              uuid PRIMARY KEY,
        identity        text NOT NULL UNIQUE,
        email           text,
        sequence        bigint NOT NULL DEFAULT 0,
        first_name      text,
        last_name       text,
        phone           text,
        phone_key       text,
        company_name    text,
        corrections     jsonb NOT NULL DEFAULT '{}',
        created_at      timestamptz NOT NULL,
        merged_into     uuid REFERENCES users CHECK (merged_into <> id),
        merge_sequence  bigint NOT NULL DEFAULT 0,
        erased_at       timestamptz,
        CHECK (email = identity OR (email IS NULL AND identity ~ '^(booking|erased):'))
    )
    """,
    "CREATE INDEX users_merged_into ON users (merged_into) WHERE merged_into IS NOT NULL",
    """
    CREATE TABLE contact_variant (
        user_id        uuid NOT NULL REFERENCES users,
        digest         bytea NOT NULL,
        first_name     text,
        last_name      text,
        email_written  text,
        phone          text,
        company        text,
        first_seen_at  timestamptz NOT NULL,
        last_seen_at   timestamptz NOT NULL,
        PRIMARY KEY (user_id, digest)
    )
    """,
    "CREATE INDEX contact_variant_first ON contact_variant (user_id, first_seen_at)",
    "CREATE INDEX contact_variant_last ON contact_variant (user_id, last_seen_at)",
    # The link follows version booking_sequence of the booking: the newest with a usable address, or the newest of all
    # while none had one. moved_by: the version that brought it to this user. taken_back: not used any
    # more, for whose a booking is does not change when its import is taken back.
    """
    CREATE TABLE booking_link (
        booking_id        text PRIMARY KEY,
        user_id           uuid NOT NULL REFERENCES users,
        addressed         boolean NOT NULL,
        booking_sequence  bigint NOT NULL,
        moved_by          bigint NOT NULL,
        taken_back        boolean NOT NULL DEFAULT false,
        sequence          bigint NOT NULL
    )
    """,
    "CREATE INDEX booking_link_user_id ON booking_link (user_id)",
    # What is kept of an erased address: a digest, to know late events of old bookings by.
    """
    CREATE TABLE erased_identity (
        digest     bytea NOT NULL,
        erased_at  timestamptz NOT NULL,
        user_id    uuid NOT NULL REFERENCES users,
        PRIMARY KEY (digest, erased_at)
    )
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
