"""Who counts as whom, who was erased, and indexes that a payment's mere name does not enter."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = [
    # user_merge: whom a user counts as, by the highest sequence heard of; null once unmerged.
    """
    CREATE TABLE user_merge (
        user_id      text PRIMARY KEY,
        merged_into  text,
        sequence     bigint NOT NULL
    )
    """,
    "CREATE INDEX user_merge_merged_into ON user_merge (merged_into) WHERE merged_into IS NOT NULL",
    # user_erasure: whose personal data is not to be kept, now or when more of it comes.
    """
    CREATE TABLE user_erasure (
        user_id    text PRIMARY KEY,
        erased_at  timestamptz NOT NULL
    )
    """,
    # With everybody who counts as one of them; UNION ends at a circle.
    """
    CREATE VIEW erased_user AS
    WITH RECURSIVE erased AS (
        SELECT user_id FROM user_erasure
        UNION
        SELECT m.user_id FROM user_merge m JOIN erased e ON m.merged_into = e.user_id
    )
    SELECT user_id FROM erased
    """,
    "CREATE VIEW erased_payment AS SELECT p.id FROM erased_user JOIN payment p USING (user_id)",
    # mentions: what an event that was not applied is about, by the ids in it; null of one that was.
    "ALTER TABLE stripe_event ADD COLUMN mentions text[]",
    "CREATE INDEX stripe_event_mentions ON stripe_event USING gin (mentions) WHERE mentions IS NOT NULL",
    # erased_customer: Stripe's names for erased people, learned from the deliveries of theirs that were redacted.
    "CREATE TABLE erased_customer (id text PRIMARY KEY)",
    # A redacted delivery says so, and keeps the hash of what was received; sha256 is that of the body as it is.
    """
    ALTER TABLE stripe_delivery
        ADD COLUMN redacted_at timestamptz,
        ADD COLUMN original_sha256 bytea,
        ADD CHECK ((redacted_at IS NULL) = (original_sha256 IS NULL))
    """,
    "CREATE INDEX payment_user_id ON payment (user_id) WHERE user_id IS NOT NULL",
    # A payment is first written as a mere name, which these need not know: nothing asks them for it.
    "DROP INDEX payment_unmatched",
    "CREATE INDEX payment_unmatched ON payment (created_at) WHERE booking_id IS NULL AND currency IS NOT NULL",
    "DROP INDEX payment_newest",
    "CREATE INDEX payment_newest ON payment (created_at DESC, id DESC) WHERE currency IS NOT NULL",
    "ALTER TABLE payment DROP CONSTRAINT payment_stripe_payment_intent_id_key",
    """
    CREATE UNIQUE INDEX payment_stripe_payment_intent_id ON payment (stripe_payment_intent_id)
    WHERE stripe_payment_intent_id IS NOT NULL
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
