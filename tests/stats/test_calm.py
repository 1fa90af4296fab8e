"""Whom bulk events touch is announced once they come no more, or after a minute, and not at every look."""

import time

import pytest

from stats.service.upkeep import Calm


def test_those_who_wait_are_announced_when_no_more_come() -> None:
    calm = Calm()

    assert [calm.is_due(waiting) for waiting in (0, 10, 20, 20)] == [False, False, False, True]


def test_a_single_look_at_those_left_over_announces_none_yet_and_the_next_does() -> None:
    calm = Calm()

    assert [calm.is_due(waiting) for waiting in (5, 5, 0, 7, 7)] == [False, True, False, False, True]


def test_nobody_waits_longer_than_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    calm, clock = Calm(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    looks = []
    for waiting in range(10, 50):
        looks.append(calm.is_due(waiting))
        clock[0] += 2.0

    assert looks.index(True) == 31
    assert sum(looks) == 1
