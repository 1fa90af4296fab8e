"""Stripe's objects, which version of one is newer, and what they make of a payment. Pure: imports no framework."""
