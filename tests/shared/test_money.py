"""Stripe's currency rules, every listed currency by name. https://docs.stripe.com/currencies#special-cases"""

from decimal import Decimal

import pytest

from shared.money import exponent, smallest_step, to_decimal, to_minor

ZERO = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
THREE = ["BHD", "JOD", "KWD", "OMR", "TND"]
HUNDREDTHS_ALWAYS_00 = ["ISK", "UGX"]
TWO = [*HUNDREDTHS_ALWAYS_00, "HUF", "TWD", "GBP", "EUR", "USD", "IDR", "INR"]  # HUF, TWD: whole only in payouts


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [*((each, 0) for each in ZERO), *((each, 2) for each in TWO), *((each, 3) for each in THREE)],
)
def test_currency_has_the_decimals_stripe_gives_it(currency: str, decimals: int) -> None:
    assert exponent(currency) == exponent(currency.lower()) == decimals
    amount = to_decimal(123_456_789_000, currency)
    assert amount == Decimal(123_456_789_000) / 10**decimals
    assert to_minor(amount, currency) == 123_456_789_000


@pytest.mark.parametrize("currency", [*ZERO, *TWO, *THREE])
def test_amount_with_more_decimals_than_the_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="more decimals"):
        to_minor(Decimal(1).scaleb(-exponent(currency) - 1), currency)


@pytest.mark.parametrize(
    ("currency", "step"),
    [*((each, 100) for each in HUNDREDTHS_ALWAYS_00), *((each, 10) for each in THREE), ("JPY", 1), ("HUF", 1)],
)
def test_stripe_takes_only_whole_steps(currency: str, step: int) -> None:
    assert smallest_step(currency) == step


def test_beyond_four_bytes_and_beyond_a_float_nothing_is_lost() -> None:
    assert to_minor(Decimal("3000000000"), "IDR") == 300_000_000_000
    assert to_decimal(9_007_199_254_740_993, "GBP") == Decimal("90071992547409.93")
