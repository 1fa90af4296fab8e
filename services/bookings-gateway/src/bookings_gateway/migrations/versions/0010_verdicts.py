"""What people decided on bookings for review, code by code: who decided on one did not look at another."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS: list[str] = [
    # import_verdict: the decision that stands on one code of a booking; import_decision keeps every one ever taken.
    """
    CREATE TABLE import_verdict (
        booking_id  text NOT NULL,
        code        text NOT NULL,
        decided_by  text NOT NULL,
        reason      text,
        decided_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (booking_id, code)
    )
    """,
    """
    INSERT INTO import_verdict (booking_id, code, decided_by, reason, decided_at)
    SELECT DISTINCT ON (booking_id, r.code) booking_id, r.code, decided_by, reason, coalesce(decided_at, now())
    FROM import_item CROSS JOIN LATERAL unnest(reviews) AS r (code)
    WHERE outcome = 'published' AND decided_by IS NOT NULL
    """,
    # What an exception says may repeat what it could not read.
    "UPDATE booking_change_failed SET error = split_part(error, ':', 1)",
    # A booking whose payment a person gave to another waits for none; who did so stands in the payments.
    """
    CREATE OR REPLACE VIEW import_ledger AS
    SELECT i.*,
           CASE WHEN i.outcome <> 'published' THEN i.outcome
                WHEN u.user_id IS NOT NULL THEN 'linked' ELSE 'waiting' END AS link_outcome,
           u.user_id,
           CASE WHEN i.outcome <> 'published' THEN i.outcome
                WHEN i.class IN ('none', 'free', 'review', 'known') THEN i.class
                WHEN p.payments > 0 THEN 'recorded'
                WHEN p.canceled > 0 THEN 'canceled'
                WHEN EXISTS (SELECT FROM import_verdict v WHERE v.booking_id = i.booking_id
                             AND v.code = 'matched_by_hand') THEN 'matched_by_hand'
                ELSE 'waiting' END AS payment_outcome,
           p.payments, p.received, p.refunded_minor, p.pending
    FROM import_item i
    LEFT JOIN booking_user u USING (booking_id)
    CROSS JOIN LATERAL (  -- by the booking: a page of the ledger is read without all payments being summed
        SELECT count(*) FILTER (WHERE status IN ('succeeded', 'pending')) AS payments,
               sum(received) AS received, sum(refunded) AS refunded_minor,
               count(*) FILTER (WHERE status = 'pending') AS pending,
               count(*) FILTER (WHERE status NOT IN ('succeeded', 'pending')) AS canceled
        FROM booking_payment WHERE migrated AND booking_id = i.booking_id
    ) p
    """,
    # import_review: each code of each booking for review, with its decision; open while there is none.
    """
    CREATE VIEW import_review AS
    SELECT i.booking_id, r.code, r.place, v.decided_by, v.reason, v.decided_at
    FROM import_item i
    CROSS JOIN LATERAL unnest(i.reviews) WITH ORDINALITY AS r (code, place)
    LEFT JOIN import_verdict v ON v.booking_id = i.booking_id AND v.code = r.code
    WHERE i.outcome = 'published' AND i.reviews <> '{}'
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
