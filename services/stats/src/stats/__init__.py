"""User totals and activity, kept from events and rebuilt from the journal."""
