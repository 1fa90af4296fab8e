-- One generation's tables, created inside a schema of its own.
CREATE TABLE booking_fact (
    booking_id     text PRIMARY KEY,
    sequence       bigint NOT NULL,
    present        boolean NOT NULL,
    amount         numeric,
    currency       text,
    created_at     timestamptz,
    link_sequence  bigint NOT NULL,
    user_id        uuid
);
CREATE INDEX booking_fact_user ON booking_fact (user_id, created_at) WHERE present;

CREATE TABLE payment_fact (
    payment_id  text PRIMARY KEY,
    sequence    bigint NOT NULL,
    booking_id  text,
    currency    text NOT NULL,
    received    numeric NOT NULL,
    refunded    numeric NOT NULL,
    user_id     uuid
);
CREATE INDEX payment_fact_booking ON payment_fact (booking_id);

-- Sums per user and currency, moved by differences. Paid and refunded are minor units.
CREATE TABLE currency_totals (
    user_id   uuid,
    currency  text,
    bookings  bigint NOT NULL DEFAULT 0,
    spent     numeric NOT NULL DEFAULT 0,
    paid      numeric NOT NULL DEFAULT 0,
    refunded  numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, currency)
);

CREATE TABLE user_totals (
    user_id             uuid PRIMARY KEY,
    sequence            bigint NOT NULL,
    total_bookings      bigint NOT NULL,
    currencies          jsonb NOT NULL,
    first_booking_date  timestamptz,
    last_booking_date   timestamptz,
    last_activity_date  timestamptz
);

CREATE TABLE activity (
    event_id    uuid PRIMARY KEY,
    user_id     uuid,
    kind        text NOT NULL,
    time        timestamptz NOT NULL,
    booking_id  text,
    payment_id  text,
    amount      numeric,
    currency    text
);
CREATE INDEX activity_user ON activity (user_id, time, event_id);
CREATE INDEX activity_booking ON activity (booking_id);
