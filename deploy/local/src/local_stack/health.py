"""What a service says about itself."""

from dataclasses import dataclass

import httpx

_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """Whether a service is ready, and if not, why: one line."""

    ready: bool
    reason: str = ""


def read_health(url: str) -> Health:
    """Ask the service at `url` for its readiness; no answer at all is a reason too."""
    try:
        response = httpx.get(f"{url}/health/ready", timeout=_ANSWER_SECONDS)
    except httpx.HTTPError as error:
        return Health(ready=False, reason=f"does not answer ({type(error).__name__})")
    if response.status_code == httpx.codes.OK:
        return Health(ready=True)
    return Health(ready=False, reason=_reasons(response))


def _reasons(response: httpx.Response) -> str:
    try:
        checks = response.json()["checks"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"answers {response.status_code}: is something else listening on this port?"
    return ", ".join(f"{name}: {state}" for name, state in checks if state != "ok")
