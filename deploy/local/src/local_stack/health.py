"""What a service says about itself."""

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus

from local_stack.ports import LOOPBACK

_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """Whether a service is ready, and if not, why: one line."""

    ready: bool
    reason: str = ""


def read_health(port: int) -> Health:
    """Ask the service on `port` of this machine for its readiness; no answer at all is a reason too."""
    try:
        status, body = _get(port)
    except (OSError, http.client.HTTPException) as error:
        return Health(ready=False, reason=f"does not answer ({type(error).__name__})")
    if status == HTTPStatus.OK:
        return Health(ready=True)
    return Health(ready=False, reason=_reasons(status, body))


def _get(port: int) -> tuple[int, bytes]:
    # Asked many times a second while starting: a client library would load its certificates each time, and send
    # even this through a proxy when the environment names one.
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _reasons(status: int, body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"answers {status}: is something else listening on this port?"
    return ", ".join(f"{name}: {state}" for name, state in checks if state != "ok")
