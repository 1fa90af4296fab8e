"""What a payment's id follows from."""

from functools import lru_cache
from uuid import UUID, uuid5

# A payment's id follows from the Stripe object at its root, so two replicas that meet it first agree.
_NAMESPACE = UUID("b4f5f0a6-9d0c-5a51-8d7e-6a0f3f3f8c11")


@lru_cache(maxsize=10_000)
def payment_id_of(root: str) -> UUID:
    """Return the id of the payment rooted in a PaymentIntent, or in a charge that has none."""
    return uuid5(_NAMESPACE, root)
