"""The tables of objects, payments and what is known of bookings: how they are locked, read and written.

Locks are taken in one order by everybody: booking names and links, the matching lock, object rows by id, charges
first, payment rows by id, those that history alone proves by id, fetch requests by id. Nobody commits here.
"""

from payments.models.bookings import (
    add_booking_keys,
    add_links,
    bookings_known,
    find_by_key,
    own_matching,
    share_matching,
)
from payments.models.objects import ObjectRow, event_bodies, kept, lock_objects, objects_of, save_objects, unsettled
from payments.models.payments import (
    Payment,
    forget_payments,
    lock_payment,
    lock_payments,
    lock_payments_alone,
    lock_payments_concerned,
    lock_payments_proved,
    save_payments,
)
from payments.models.users import add_erasures, add_merges

__all__ = [
    "ObjectRow",
    "Payment",
    "add_booking_keys",
    "add_erasures",
    "add_links",
    "add_merges",
    "bookings_known",
    "event_bodies",
    "find_by_key",
    "forget_payments",
    "kept",
    "lock_objects",
    "lock_payment",
    "lock_payments",
    "lock_payments_alone",
    "lock_payments_concerned",
    "lock_payments_proved",
    "objects_of",
    "own_matching",
    "save_objects",
    "save_payments",
    "share_matching",
    "unsettled",
]
