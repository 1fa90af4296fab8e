-- The legacy application's table, as it stands in front of this system: its default layout, with the columns that
-- are only passed through. It has no rows: what is written to it from now on becomes events, older rows come in by
-- `bookings-gateway history import`.
CREATE TABLE bookings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "bookingReference" text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    "bookingType" text NOT NULL DEFAULT 'INDIVIDUAL',
    "contactDetails" jsonb,
    participants jsonb NOT NULL DEFAULT '[]',
    "invoiceDetails" jsonb,
    "finalAmount" numeric(10, 2) NOT NULL DEFAULT 0,
    "paymentDate" timestamptz,
    "paymentMethod" text,
    "paymentReference" text,
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "updatedAt" timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX "bookings_bookingReference_key" ON bookings ("bookingReference");
