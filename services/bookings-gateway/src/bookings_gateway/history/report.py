"""The report of a move: what was done, by whom, with which outcome; signed, so that a later change of it shows.

The signature is an HMAC-SHA256 over the canonical JSON, by a key the operator keeps (``BOOKINGS_GATEWAY_REPORT_KEY``).
It proves to whoever holds the key that the report is as it was made. One shared secret and one function of the standard
library do; key pairs would be needed only to convince somebody who must not be able to sign.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import text

from bookings_gateway.history import runs
from bookings_gateway.history.counts import Counts
from bookings_gateway.history.errors import NotReady
from bookings_gateway.history.move import History
from bookings_gateway.history.progress import status
from bookings_gateway.history.steps import latest_steps
from bookings_gateway.history.verify import Verification

_DECISIONS = text(
    """
    SELECT action, reason, decided_by, min(decided_at) AS first, max(decided_at) AS last, count(*) AS entries
    FROM import_decision GROUP BY action, reason, decided_by ORDER BY min(decided_at)
    """
)
_CHUNKS = text(
    "SELECT count(*) AS chunks, sum(rows) AS rows, sum(took_ms) AS took_ms FROM import_chunk WHERE run_id = :run"
)
_PACKAGES = ("bookings-gateway", "bookings-shared")


async def report(history: History, verification: Verification, *, by: str) -> dict[str, Any]:
    """Return what a report says, unsigned. Raises ``NoRun``."""
    async with history.engine.connect() as connection:
        run = await runs.required(connection)
        now = await status(connection, await history.source(connection))
        counts = await Counts.from_ledger(connection)
        decisions = (await connection.execute(_DECISIONS)).mappings().all()
        chunks = (await connection.execute(_CHUNKS, {"run": run["id"]})).mappings().one()
        steps = await latest_steps(connection)
    plan = runs.plan_of(run)
    said = {
        "made_at": datetime.now(UTC),
        "made_by": by,
        "versions": {name: version(name) for name in _PACKAGES},
        "run": {name: run[name] for name in ("id", "state", "started_by", "started_at", "finished_at", "code_version")},
        "before": {name: plan[name] for name in ("table", "rows", "sha256", "statuses", "layout", "currency", "zone")},
        "chunks": dict(chunks),
        "status": now.as_json(),
        "counts": counts.as_json(),
        "verification": verification.as_json(),
        "decisions": [dict(row) for row in decisions],
        "steps": {name: {k: row[k] for k in ("passed", "name", "note", "done_at")} for name, row in steps.items()},
        "exit_code": 0 if verification.passed else 1,
    }
    plain: dict[str, Any] = json.loads(json.dumps(said, default=_plain))
    return plain


def required_key(key: str | None) -> str:
    """Return the key; raises ``NotReady`` without one, to be asked before all the work of a report."""
    if not key:
        raise NotReady("A report is signed: set BOOKINGS_GATEWAY_REPORT_KEY to a secret you keep.")
    return key


def signed(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the report with its signature."""
    return {**said, "signature": {"algorithm": "HMAC-SHA256", "key": _name(key), "value": _mac(said, key)}}


def is_genuine(said: Mapping[str, Any], key: str | None) -> bool:
    """Say whether a report is as it was signed with this key."""
    content = {name: value for name, value in said.items() if name != "signature"}
    given = said.get("signature", {}).get("value", "")
    return bool(key) and hmac.compare_digest(str(given), _mac(content, key or ""))


def _mac(said: Mapping[str, Any], key: str) -> str:
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hmac.new(key.encode(), canonical.encode(), hashlib.sha256).hexdigest()


def _name(key: str) -> str:
    """Which key it was, without telling it."""
    return hashlib.sha256(f"name of {key}".encode()).hexdigest()[:12]


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    return value.isoformat() if isinstance(value, datetime) else str(value)


def markdown(said: Mapping[str, Any]) -> str:
    """Return the report for people."""
    run, checks = said["run"], said["verification"]["checks"]
    counts, before = said["counts"], said["before"]
    lines = [
        f"# Moving the history across: {'everything agrees' if said['verification']['passed'] else 'DIFFERENCES'}",
        "",
        f"Table {before['table']}, {before['rows']:,} rows, sha256 `{before['sha256'][:16]}…` when it began. "
        f"Run {run['id']} by {run['started_by']}, {run['started_at']} to {run['finished_at']}. Report by "
        f"{said['made_by']}, {said['made_at']}.",
        "",
        "| | invariant | expected | actual |",
        "|---|---|---|---|",
        *(
            f"| {'✓' if c['passed'] else '✗'} {c['name']} | {c['claim']} | {c['expected']} | {c['actual']} |"
            for c in checks
        ),
        "",
        *(_counts_table(name, counts[name]) for name in ("outcomes", "classes", "contacts", "statuses", "reviews")),
        "## Money",
        "",
        "| class | month | rows | due | recorded | refunded | in review |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(
            f"| {m['class']} | {m['month']} {m['currency']} | {m['rows']} | {m['due']} | {m['recorded']} "
            f"| {m['refunded']} | {m['in_review']} |"
            for m in said["verification"]["money"]
        ),
        "",
        "## Decisions",
        "",
        *(f"- {d['action']} × {d['entries']} by {d['decided_by']}: {d['reason'] or '–'}" for d in said["decisions"]),
        "",
        f"Signed {said['signature']['algorithm']}, key {said['signature']['key']}: `{said['signature']['value']}`",
        "",
    ]
    return "\n".join(lines)


def _counts_table(name: str, counts: Mapping[str, int]) -> str:
    rows = "\n".join(f"| {kind} | {number:,} |" for kind, number in counts.items())
    return f"## {name.capitalize()}\n\n| | |\n|---|--:|\n{rows}\n"
