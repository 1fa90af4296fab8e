"""The projection, written once, in SQL. Run in this order: bookings, payments, activity, totals."""
