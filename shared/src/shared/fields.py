"""Fields of HTTP requests that the database and everybody's calendar can hold."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, StringConstraints


def in_reach(moment: datetime) -> datetime:
    """Return the time; raises ``ValueError`` outside 1970 to 2200."""
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("the time is not between 1970 and 2200")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(in_reach)]
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
