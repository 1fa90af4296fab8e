"""What the move's and the rollout's doors answer, for their description; the bodies are made where the figures are."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Count = int


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class BookingCounts(_Answer):
    """Every booking is one of these."""

    done: Count
    told_live: Count = Field(description="Made or changed since the import began: told as they were made")
    set_aside: Count
    waived: Count
    left: Count


class LinkCounts(_Answer):
    """Of those done."""

    linked: Count
    waiting: Count


class PaymentCounts(_Answer):
    """Of those done."""

    recorded: Count
    pay_nothing: Count
    waiting: Count


class MigratedMoney(_Answer):
    """What historical bookings proved of one currency."""

    currency: str
    payments: Count
    received: str = Field(examples=["310.00"])
    refunded: str = Field(examples=["0.00"])


class Migration(_Answer):
    """Where the move stands. What takes a look at every booking is ``countedSecondsAgo``, the rest of this moment."""

    state: str = Field(examples=["imported"])
    remark: str | None
    heartbeat_seconds: float | None
    started_at: str | None = Field(examples=["2025-01-15T10:30:00+00:00"])
    finished_at: str | None = Field(examples=["2025-01-15T11:10:00+00:00"])
    total_bookings: Count
    bookings: BookingCounts
    gone: Count
    links: LinkCounts
    payments: PaymentCounts
    in_review: Count
    queued: dict[str, Count] = Field(examples=[{"outbox": 0}])
    rows_per_second: float | None
    eta_seconds: list[int] | None = Field(description="From, to", examples=[[40, 65]])
    bookings_with_users: Count
    total_users: Count
    money: list[MigratedMoney]
    classes: dict[str, Count] = Field(examples=[{"stripe": 41, "recorded": 7}])
    errors: dict[str, Count] = Field(examples=[{"status_proves_little": 2}])
    lag_seconds: float
    counted_seconds_ago: float


class DeskItem(BaseModel):
    """An open entry; of a change that was set aside the id is ``change:`` and its number."""

    id: str
    booking_id: str
    state: Literal["set_aside", "waived", "review", "reviewed"]
    code: str | None
    detail: str | None
    attempts: int
    since: str = Field(examples=["2025-01-15T10:30:00Z"])
    decided_by: str | None
    reason: str | None


class DeskPage(_Answer):
    """``codes``: how many of each are open; ``whatToDo``: what can be done about those."""

    codes: dict[str, Count] = Field(examples=[{"created_at_missing": 3}])
    what_to_do: dict[str, str] = Field(examples=[{"created_at_missing": "waive if that will do"}])
    items: list[DeskItem]


class DeskDecision(BaseModel):
    """What somebody decided about an entry."""

    action: str = Field(examples=["waive"])
    reason: str | None
    decided_by: str
    decided_at: str = Field(examples=["2025-01-15T10:30:00Z"])


class DeskEntry(BaseModel):
    """An entry with what the ledger has of it; of its row only that it is there, of a correction which columns."""

    model_config = ConfigDict(extra="allow")

    row: Literal["present"] | None
    correction: list[str]
    decisions: list[DeskDecision]


class Compared(_Answer):
    """How much the parallel run has compared."""

    comparisons: Count
    rows: Count
    rows_different: Count
    since: str | None = Field(examples=["2025-01-15"])


class Difference(_Answer):
    """A field in which old and new answers differed; values are hashed."""

    field: str = Field(examples=["finalAmount"])
    kind: str
    count: Count
    first_seen: str = Field(examples=["2025-01-15T10:30:00+00:00"])
    last_seen: str = Field(examples=["2025-01-15T10:30:00+00:00"])
    booking_ids: list[str] | None
    old_hashes: list[str] | None
    new_hashes: list[str] | None


class Flip(BaseModel):
    """A flag that was changed."""

    flag: str = Field(examples=["new-endpoints"])
    at: str = Field(examples=["2025-01-15T10:30:00+00:00"])
    before: Any
    after: Any


class RolloutState(_Answer):
    """The comparisons so far, the differences grouped by field, and the newest flips."""

    flag_file_error: str | None
    compared: Compared
    differences: list[Difference]
    flips: list[Flip]
