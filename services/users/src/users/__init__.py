"""Makes people out of bookings."""
