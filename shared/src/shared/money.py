"""Money: integer minor units inside, ``Decimal`` strings at the edges, never a float.

Exponents are those Stripe uses on the wire, which differ from ISO 4217 for ISK and UGX (sent in hundredths).
https://docs.stripe.com/currencies#special-cases
"""

from decimal import Decimal

ZERO_DECIMALS = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
THREE_DECIMALS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
WHOLE_IN_HUNDREDTHS = frozenset(["ISK", "UGX"])


def exponent(currency: str) -> int:
    """Return how many decimals a currency has on Stripe's wire: 0, 2 or 3."""
    code = currency.upper()
    if code in ZERO_DECIMALS:
        return 0
    return 3 if code in THREE_DECIMALS else 2


def smallest_step(currency: str) -> int:
    """Return the minor units whose multiples Stripe takes: ISK and UGX always end in 00, three decimals in 0."""
    code = currency.upper()
    if code in WHOLE_IN_HUNDREDTHS:
        return 100
    return 10 if code in THREE_DECIMALS else 1


def to_decimal(minor: int, currency: str) -> Decimal:
    """Return minor units as an exact amount: ``to_decimal(6750, "GBP") == Decimal("67.50")``."""
    return Decimal(minor).scaleb(-exponent(currency))


def to_minor(amount: Decimal, currency: str) -> int:
    """Return an exact amount as minor units; raises ``ValueError`` if it has too many decimals."""
    scaled = amount.scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} has more decimals than {currency.upper()} allows")
    return int(scaled)
