"""The bytes of a delivery as JSON: quick for what Stripe sends, for the rest as tolerant as the standard library."""

import json

import orjson


def parse(body: bytes) -> object:
    """Return the value; raises ``UnicodeDecodeError``, ``ValueError`` where it is no JSON, and ``RecursionError``.

    The quick reader refuses a lone half of a surrogate pair, a number beyond every float and deep nesting, though all
    may stand in JSON: such a body gets a second reading, which has the last word.
    """
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _DECODER.decode(body.decode())
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
