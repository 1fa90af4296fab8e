"""Old and new answers side by side: what differs is named by id and key, however the rows are shifted."""

import json

import pytest

from bookings_gateway.history.verify_answers import Answers

ADDED = {"customerName": "Ann Lee", "customerEmail": None, "user": None, "paymentStatus": "paid"}


def row(number: int, **fields: object) -> str:
    return json.dumps({"id": f"b{number}", "status": "PAID", "finalAmount": "67.50", **fields})


def new(number: int, **fields: object) -> str:
    return json.dumps({**json.loads(row(number)), **ADDED, **fields})


OLD = [row(number) for number in range(6)]
NEW = [new(number) for number in range(6)]


def outcome(old: list[str], shown: list[str], *, page: int = 2) -> tuple[bool, list[str]]:
    answers = Answers("id")
    for start in range(0, max(len(old), len(shown)), page):
        answers.take(old[start : start + page], shown[start : start + page])
    check = answers.check()
    return check.passed, list(check.rows)


@pytest.mark.parametrize(
    ("shown", "named"),
    [
        (NEW, []),
        ([*NEW[:3], json.dumps(json.loads(new(3)), indent=1), *NEW[4:]], []),  # written differently, the same said
        ([*NEW[:3], new(3, status="secret"), *NEW[4:]], ["b3 status"]),
        ([*NEW[:3], new(3, finalAmount=67.50), *NEW[4:]], ["b3 finalAmount"]),
        ([*NEW[:3], new(3, extra="secret"), *NEW[4:]], ["b3 extra"]),
        ([*NEW[:3], new(3)[:-1] + ', "status": "secret"}', *NEW[4:]], ["b3 status"]),  # the last of a key counts
        ([*NEW[:1], *NEW[2:]], ["b1 (row)"]),
        ([*NEW[:1], new(9), *NEW[1:]], ["b9 (row)"]),
    ],
)
def test_what_differs_is_named_by_id_and_key(shown: list[str], named: list[str]) -> None:
    assert outcome(OLD, shown) == (not named, named)


def test_a_booking_shown_twice_is_no_right_answer() -> None:
    assert not outcome(OLD, [*NEW[:2], NEW[1], *NEW[2:]])[0]
