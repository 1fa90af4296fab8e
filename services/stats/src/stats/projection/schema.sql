-- One generation's tables, created inside a schema of its own. Their indexes are in indexes.sql: a rebuild makes
-- them when the bulk is in.
CREATE TABLE booking_fact (
    booking_id     text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    present        boolean NOT NULL,
    amount         numeric,
    currency       text COLLATE "C",
    created_at     timestamptz,
    link_sequence  bigint NOT NULL,
    user_id        uuid
);

CREATE TABLE payment_fact (
    payment_id  text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    booking_id  text COLLATE "C",
    currency    text COLLATE "C" NOT NULL,
    received    numeric NOT NULL,
    refunded    numeric NOT NULL,
    disputed    numeric NOT NULL,
    user_id     uuid
);

-- Who was merged into whom, as last told; and the person each of them therefore counts for. Only users that ever
-- took part in a merge are here: everybody else is canonical.
CREATE TABLE merge_fact (
    user_id      uuid PRIMARY KEY,
    sequence     bigint NOT NULL,
    merged_into  uuid,
    canonical    uuid NOT NULL
);
CREATE INDEX merge_fact_canonical ON merge_fact (canonical);

-- Sums per user (before merges) and currency, moved by differences. Paid, refunded and disputed are minor units.
CREATE TABLE currency_totals (
    user_id   uuid NOT NULL,
    currency  text COLLATE "C" NOT NULL,
    bookings  bigint NOT NULL DEFAULT 0,
    spent     numeric NOT NULL DEFAULT 0,
    paid      numeric NOT NULL DEFAULT 0,
    refunded  numeric NOT NULL DEFAULT 0,
    disputed  numeric NOT NULL DEFAULT 0
);

-- One line per event that concerns a user (before merges), without a user while its booking is not linked. The rest
-- of the line stands in the journal.
CREATE TABLE activity (
    user_id     uuid,
    time        timestamptz NOT NULL,
    event_id    uuid NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    booking_id  text COLLATE "C"
);
