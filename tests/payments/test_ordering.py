"""Which version of an object stands: each step of the table, and that the set alone decides."""

from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.domain.ordering import Content, Version
from payments.domain.versions import Doubt, Kept, doubt
from support import stripe_payloads as stripe
from support.ledgers import shown_by
from support.stripe_payloads import START, Json


def kept_after(events: Sequence[Json]) -> Kept:
    """Return what is kept of one object; each step is given no more contents than it asks for."""
    stored: dict[str, Content] = {}
    kept: Kept | None = None
    for event in events:
        shown = shown_by(event)[0]
        version = shown.version
        needed = {id_: stored[id_] for id_ in kept.tied_with(version)} if kept else {}
        stored[version.event_id] = shown.content
        kept = kept.with_version(version, {**needed, version.event_id: shown.content}) if kept else Kept.first(version)
    assert kept is not None
    return kept


def standing_of(*events: Json) -> Json:
    """Return the event whose version stands, in whatever order they come."""
    by_id = {event["id"]: event for event in events}
    ends = {kept_after(order).newest.event_id for order in permutations(events)}
    assert len(ends) == 1, "the order of arrival decided"
    return by_id[ends.pop()]


def intent(status: str, *, created: int = START, **fields: Any) -> Json:
    return stripe.event("payment_intent.updated", stripe.payment_intent(status=status, **fields), created=created)


def charge(*, created: int = START, previous: Json | None = None, **fields: Any) -> Json:
    return stripe.event("charge.updated", stripe.charge(**fields), created=created, previous=previous)


def refund(status: str, *, created: int = START) -> Json:
    return stripe.event("refund.updated", stripe.refund(status=status), created=created)


def dispute(status: str, *, created: int = START, **fields: Any) -> Json:
    return stripe.event("charge.dispute.updated", stripe.dispute(status=status, **fields), created=created)


def session(payment_status: str, *, type_: str = "completed", **fields: Any) -> Json:
    return stripe.event(f"checkout.session.{type_}", stripe.checkout_session(payment_status=payment_status, **fields))


MOVED = stripe.balance_transaction(-6750)
RISING: dict[str, list[Json]] = {
    "intent": [
        intent("requires_payment_method"),
        intent("requires_confirmation"),
        intent("requires_action"),
        intent("processing"),
        intent("requires_payment_method", last_payment_error={"code": "card_declined"}),
        intent("requires_capture"),
        intent("succeeded"),
    ],
    "charge": [charge(status="pending", captured=False), charge(captured=False), charge()],
    "refund": [refund("pending"), refund("requires_action"), refund("succeeded"), refund("failed")],
    "dispute": [
        dispute("warning_needs_response"),
        dispute("warning_under_review"),
        dispute("needs_response"),
        dispute("under_review"),
        dispute("appeal_needs_response"),
        dispute("appeal_under_review"),
        dispute("lost"),
    ],
    "checkout": [
        session("unpaid", status="open"),
        session("unpaid"),
        session("unpaid", type_="async_payment_failed"),
        session("paid", type_="async_payment_succeeded"),
    ],
}


@pytest.mark.parametrize("versions", RISING.values(), ids=RISING.keys())
def test_within_one_second_the_further_status_stands(versions: list[Json]) -> None:
    for lower, higher in pairwise(versions):
        assert standing_of(lower, higher) == higher


@pytest.mark.parametrize("end", ["succeeded", "canceled"])
def test_ended_intent_stands_above_whatever_comes_later(end: str) -> None:
    ended = intent(end, latest_charge=None)
    late = intent("processing", created=START + 60, latest_charge="ch_9")
    assert standing_of(ended, late) == ended
    known = kept_after([ended, late]).object
    assert getattr(known, "latest_charge", None) == "ch_9", "what is set once is filled in from the one passed over"


def test_two_ends_of_one_intent_are_to_be_read_from_the_api() -> None:
    first, second = intent("succeeded"), intent("canceled", created=START + 1)
    assert standing_of(first, second) == second
    before, incoming = kept_after([first]), shown_by(second)[0].version
    assert doubt(before, incoming, before.with_version(incoming, {})) is Doubt.TWO_ENDS


def test_later_second_stands_even_if_it_goes_back() -> None:
    assert standing_of(refund("succeeded"), late := refund("pending", created=START + 1)) == late
    assert standing_of(dispute("won"), later := dispute("under_review", created=START + 1)) == later


@pytest.mark.parametrize("end", ["won", "lost"])
def test_dispute_leaves_its_end_only_by_a_later_second(end: str) -> None:
    assert standing_of(ended := dispute(end), dispute("under_review")) == ended


def test_amounts_that_only_grow_decide_between_equals() -> None:
    assert standing_of(charge(amount_captured=100), more := charge(amount_captured=200)) == more
    assert standing_of(dispute("lost"), moved := dispute("lost", balance_transactions=[MOVED])) == moved


def test_successor_by_previous_attributes_stands_though_its_refunded_amount_fell() -> None:
    risen = charge(amount_refunded=3000)
    fallen = charge(amount_refunded=2000, previous={"amount_refunded": 3000})
    assert standing_of(risen, fallen) == fallen
    assert kept_after([risen, fallen]).certain


def test_successor_is_found_by_way_of_one_that_comes_last() -> None:
    first = charge(amount_refunded=3000, description="a")
    between = charge(amount_refunded=2500, description="b", previous={"amount_refunded": 3000, "description": "a"})
    last = charge(amount_refunded=1000, description="c", previous={"amount_refunded": 2500, "description": "b"})
    assert standing_of(first, between, last) == last


def test_previous_attributes_may_name_parts_and_what_was_absent() -> None:
    before = charge(metadata={"a": "1", "b": "2"}, amount_refunded=900)
    after = charge(metadata={"a": "1", "b": "3"}, outcome={}, previous={"metadata": {"b": "2"}, "outcome": None})
    assert standing_of(before, after) == after


def test_without_evidence_the_larger_refunded_amount_stands() -> None:
    assert standing_of(charge(amount_refunded=10), larger := charge(amount_refunded=20)) == larger


def test_what_nothing_tells_apart_is_decided_by_id_and_read_from_the_api() -> None:
    one, other = (charge(metadata={"bookingId": name}) for name in ("b1", "b2"))
    assert standing_of(one, other) == max(one, other, key=lambda event: event["id"])
    before, incoming = kept_after([one]), shown_by(other)[0].version
    assert doubt(before, incoming, before.with_version(incoming, {})) is Doubt.TIE


def test_circle_of_evidence_tells_nothing() -> None:
    one = charge(metadata={"bookingId": "b1"}, previous={"metadata": {"bookingId": "b2"}})
    other = charge(metadata={"bookingId": "b2"}, previous={"metadata": {"bookingId": "b1"}})
    assert standing_of(one, other) == max(one, other, key=lambda event: event["id"])
    assert not kept_after([one, other]).certain


def test_same_content_under_two_events_is_no_doubt() -> None:
    assert kept_after([charge(), charge(previous={"description": "x"})]).certain


def test_fetched_object_wins_where_nothing_else_tells() -> None:
    one, other = (shown_by(charge(metadata={"bookingId": name}))[0].version for name in ("b1", "b2"))
    fetched = Version(one.object, one.seen, "aaa", fetched=True)
    kept = Kept.first(one).with_version(other, {}).with_version(fetched, {})
    assert (kept.newest, kept.certain) == (fetched, True)


def test_balance_transaction_and_fee_are_kept_though_a_later_event_shows_an_id() -> None:
    known = charge(balance_transaction=stripe.balance_transaction(6750, fee=121))
    late = charge(created=START + 60, balance_transaction=None, metadata={"bookingId": "b1"})
    for order in permutations([known, late]):
        item: Any = kept_after(order).object
        assert (item.balance_transaction, item.fee.minor, item.booking_keys) == ("txn_6750_121", 121, ("b1",))


_VALUES = st.fixed_dictionaries(
    {
        "amount_refunded": st.sampled_from([0, 1000, 2000]),
        "balance_transaction": st.sampled_from([None, "txn_1"]),
        "metadata": st.sampled_from([{}, {"bookingId": "b1"}, {"bookingId": "b2"}]),
        "captured": st.booleans(),
    }
)
_PREVIOUS = st.none() | st.dictionaries(st.sampled_from(["amount_refunded"]), st.sampled_from([0, 1000, 2000]))


@st.composite
def versions_of_one_charge(draw: st.DrawFn) -> list[Json]:
    """Few values and few seconds, so that ties, evidence, circles and contradictions are common."""
    return [
        charge(created=START + draw(st.integers(0, 1)), previous=draw(_PREVIOUS), **draw(_VALUES))
        for _ in range(draw(st.integers(2, 6)))
    ]


@settings(max_examples=400, deadline=None)
@given(versions_of_one_charge().flatmap(lambda each: st.tuples(st.just(each), st.permutations([*each, each[0]]))))
def test_set_of_versions_decides_whatever_it_is(case: tuple[list[Json], list[Json]]) -> None:
    versions, order = case
    assert kept_after(order) == kept_after(versions)
