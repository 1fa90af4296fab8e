"""What events carry: one module per publishing service, owned by the publisher.

Contracts are additive only: a field may be added with a default, never removed, renamed or retyped. Anything
else is a new version, and ``tests/contracts`` holds a golden file per version that fails on a change.
"""

from shared.contracts.base import CONTRACTS, Contract, NewerSchema, Snapshot, UnknownType, contract_of, read
from shared.contracts.bookings import BookingContact, BookingSnapshot, RecordedPayment
from shared.contracts.payments import PaymentSnapshot
from shared.contracts.stats import CurrencyTotals, UserTotalsSnapshot
from shared.contracts.users import BookingLinkSnapshot, UserErasedSnapshot, UserMergeSnapshot, UserSnapshot

__all__ = [
    "CONTRACTS",
    "BookingContact",
    "BookingLinkSnapshot",
    "BookingSnapshot",
    "Contract",
    "CurrencyTotals",
    "NewerSchema",
    "PaymentSnapshot",
    "RecordedPayment",
    "Snapshot",
    "UnknownType",
    "UserErasedSnapshot",
    "UserMergeSnapshot",
    "UserSnapshot",
    "UserTotalsSnapshot",
    "contract_of",
    "read",
]
