"""What the search for erased people's letters rests on."""

import json

from support.events import booking


def test_an_event_says_whom_it_is_about_before_it_says_anything_of_them() -> None:
    written = booking("b1").encode()
    assert written.index(b'"subject":"b1"') < written.index(b'"data"')
    assert [*json.loads(written)][-1] == "data"
