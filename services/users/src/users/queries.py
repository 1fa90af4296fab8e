"""The statements of the users service."""

from sqlalchemy import text

PROFILE_COLUMNS = ("first_name", "last_name", "phone", "company_name")

# The unique identity decides a race of two first bookings: the loser reads the winner's row.
ENSURE_USERS = text(
    """
    INSERT INTO users (id, identity, email, created_at)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:identities AS text[]), CAST(:emails AS text[]), CAST(:created AS timestamptz[])
    )
    ON CONFLICT (identity) DO NOTHING
    """
)
LOCK_USERS = text(
    """
    SELECT id, identity, email, sequence, first_name, last_name, phone, company_name, created_at,
           clock_timestamp() AS now
    FROM users WHERE identity = ANY(CAST(:identities AS text[])) ORDER BY identity FOR UPDATE
    """
)
KEEP_VARIANTS = text(
    """
    INSERT INTO contact_variant
        (user_id, first_name, last_name, email_written, phone, company, first_seen_at, last_seen_at)
    SELECT user_id, first_name, last_name, email_written, phone, company, min(seen), max(seen)
    FROM unnest(
        CAST(:users AS uuid[]), CAST(:first_names AS text[]), CAST(:last_names AS text[]), CAST(:emails AS text[]),
        CAST(:phones AS text[]), CAST(:companies AS text[]), CAST(:seen AS timestamptz[])
    ) AS o (user_id, first_name, last_name, email_written, phone, company, seen)
    GROUP BY user_id, first_name, last_name, email_written, phone, company
    ON CONFLICT (user_id, first_name, last_name, email_written, phone, company) DO UPDATE SET
        first_seen_at = least(contact_variant.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(contact_variant.last_seen_at, excluded.last_seen_at)
    """
)
# Only those that decide what is shown: an office mailbox may have tens of thousands.
VARIANTS = text(
    """
    SELECT u.user_id, v.first_name, v.last_name, v.email_written, v.phone, v.company, v.first_seen_at, v.last_seen_at
    FROM unnest(CAST(:users AS uuid[])) AS u (user_id)
    CROSS JOIN LATERAL (
        (SELECT * FROM contact_variant
         WHERE user_id = u.user_id AND (first_name IS NOT NULL OR last_name IS NOT NULL)
         ORDER BY first_seen_at, coalesce(first_name, ''), coalesce(last_name, '') LIMIT 1)
        UNION ALL
        (SELECT * FROM contact_variant WHERE user_id = u.user_id AND phone IS NOT NULL
         ORDER BY last_seen_at DESC, phone DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM contact_variant WHERE user_id = u.user_id AND company IS NOT NULL
         ORDER BY last_seen_at DESC, company DESC LIMIT 1)
    ) v
    """
)
UPDATE_USERS = text(
    """
    UPDATE users SET created_at = n.created_at, first_name = n.first_name, last_name = n.last_name, phone = n.phone,
                     company_name = n.company_name, sequence = sequence + 1
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:created AS timestamptz[]), CAST(:first_names AS text[]),
        CAST(:last_names AS text[]), CAST(:phones AS text[]), CAST(:companies AS text[])
    ) AS n (id, created_at, first_name, last_name, phone, company_name)
    WHERE users.id = n.id
    """
)
ENSURE_LINKS = text(
    """
    INSERT INTO booking_link (booking_id) SELECT * FROM unnest(CAST(:bookings AS text[])) ON CONFLICT DO NOTHING
    """
)
LOCK_LINKS = text(
    """
    SELECT booking_id, CAST(user_id AS text) AS user_id, booking_sequence, sequence
    FROM booking_link WHERE booking_id = ANY(CAST(:bookings AS text[])) ORDER BY booking_id FOR UPDATE
    """
)
UPDATE_LINKS = text(
    """
    UPDATE booking_link
    SET user_id = n.user_id, booking_sequence = n.booking_sequence, sequence = n.sequence
    FROM unnest(
        CAST(:bookings AS text[]), CAST(CAST(:users AS text[]) AS uuid[]), CAST(:booking_sequences AS bigint[]),
        CAST(:sequences AS bigint[])
    ) AS n (booking_id, user_id, booking_sequence, sequence)
    WHERE booking_link.booking_id = n.booking_id
    """
)
