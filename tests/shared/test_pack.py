"""Packing a page of the outbox into messages: few of them, each of one type, and no subject reordered."""

import json
from collections import defaultdict
from itertools import chain
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.relay import pack

Page = list[dict[str, Any]]


def row(seq: int, type_: str, subject: str, *, bulk: bool = True, size: int = 10) -> dict[str, Any]:
    return {
        "seq": seq,
        "bulk": bulk,
        "event_id": UUID(int=seq),
        "type": type_,
        "subject": subject,
        "body": json.dumps("x" * size),
    }


rows = st.tuples(st.sampled_from("abc"), st.sampled_from("1234"), st.booleans())


@given(st.lists(rows, max_size=30))
def test_every_row_goes_once_and_no_row_overtakes_one_of_its_subject(drawn: list[tuple[str, str, bool]]) -> None:
    page = [row(seq, type_, subject, bulk=bulk) for seq, (type_, subject, bulk) in enumerate(drawn)]
    parcels = pack(page)  # type: ignore[arg-type] # a mapping is all that is looked at
    sent = list(chain.from_iterable(parcel.rows for parcel in parcels))

    assert sorted(each["seq"] for each in sent) == [each["seq"] for each in page]
    assert all(len({(each["type"], each["bulk"]) for each in parcel.rows}) == 1 for parcel in parcels)
    by_subject: dict[str, list[int]] = defaultdict(list)
    for each in sent:
        by_subject[each["subject"]].append(each["seq"])
    assert all(seqs == sorted(seqs) for seqs in by_subject.values())


def test_types_that_take_turns_are_a_message_each() -> None:
    page = [row(seq, "registered" if seq % 2 else "linked", f"s{seq}") for seq in range(400)]
    assert [len(parcel.rows) for parcel in pack(page)] == [200, 200]  # type: ignore[arg-type]


def test_a_message_is_never_larger_than_a_consumer_can_hold() -> None:
    many = [row(seq, "a", f"s{seq}", bulk=False) for seq in range(250)]
    large = [row(seq, "a", f"s{seq}", size=3_000_000) for seq in range(3)]
    assert [len(parcel.rows) for parcel in pack(many)] == [100, 100, 50]  # type: ignore[arg-type]
    assert [len(parcel.rows) for parcel in pack(large)] == [1, 1, 1]  # type: ignore[arg-type]
