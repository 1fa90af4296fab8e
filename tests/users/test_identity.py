"""Who is the same: addresses and phone numbers however they are written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.emails import normalise_email
from users.domain import phone_key


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann@Example.COM\t", "ann@example.com"),
        ("\u00a0ann@example.com\u2003", "ann@example.com"),
        ("İpek@example.com", "i̇pek@example.com"),
        ("I@example.com", "i@example.com"),
        ("ı@example.com", "ı@example.com"),
        ("straße@example.com", "straße@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("ẞ@example.com", "ß@example.com"),
        ("Zoë@example.com", "zoë@example.com"),
        (unicodedata.normalize("NFD", "Zoë@example.com"), "zoë@example.com"),
        ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),
        ("ann@MÜNCHEN.example", "ann@xn--mnchen-3ya.example"),
        ("ann@xn--mnchen-3ya.example", "ann@xn--mnchen-3ya.example"),
        (unicodedata.normalize("NFD", "ann@münchen.example"), "ann@xn--mnchen-3ya.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("a.n.n+tag@gmail.com", "a.n.n+tag@gmail.com"),
        ("a.n.n@googlemail.com", "a.n.n@googlemail.com"),
        (f"{'a' * 308}@example.com", f"{'a' * 308}@example.com"),
    ],
)
def test_an_address_has_one_identity_however_it_is_written(written: str, identity: str) -> None:
    assert normalise_email(written) == unicodedata.normalize("NFC", identity)


@pytest.mark.parametrize(
    "written",
    [
        *(None, "", "   ", "ann", "@", "ann@", "@example.com", "a nn@example.com", "ann@exa mple.com", "ann@\u200d.x"),
        *("ann@example.com, bob@example.com", "ann@..テスト", f"{'a' * 309}@example.com"),
    ],
)
def test_what_is_no_address_is_nobody(written: str | None) -> None:
    assert normalise_email(written) is None


@given(st.emails() | st.text(max_size=12).map(lambda local: f"{local}@Ünï.example"))
def test_an_identity_is_its_own_identity_in_any_case_and_form(written: str) -> None:
    identity = normalise_email(written)
    if identity is not None:
        assert normalise_email(identity) == identity
        for form in ("NFC", "NFD"):
            assert normalise_email(f" {unicodedata.normalize(form, written)}\n") == identity


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("07700 900123", "+447700900123"),
        ("+44 (0)7700 900-123", "+447700900123"),
        ("0044 7700 900123", "+447700900123"),
        ("+1 650-253-0000", "+16502530000"),
        ("020 7946 0018", "+442079460018"),
        ("12", None),
        ("ask Bob", None),
        ("", None),
        (None, None),
    ],
)
def test_a_phone_number_has_one_key_in_any_format(written: str | None, key: str | None) -> None:
    assert phone_key(written, "GB") == key


def test_a_number_without_a_country_is_of_the_region() -> None:
    assert phone_key("030 123456", "DE") == "+4930123456"
