"""Schemathesis against a running API: nothing it thinks of may find a 500, or an answer nobody documented.

A few random requests to every operation by default; ``make test-long`` makes it many (``CONTRACT_EXAMPLES``) and adds
every boundary value of every parameter and body.
"""

import asyncio
import os
import sys
from pathlib import Path

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
PHASES = "examples,coverage,fuzzing" if "CONTRACT_EXAMPLES" in os.environ else "examples,fuzzing"


async def assert_keeps_its_contract(url: str, directory: Path, *options: str, authorization: str = "") -> None:
    """Fail with Schemathesis' report if the API at ``url`` does not answer as its OpenAPI says."""
    run = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{url}/openapi.json",
        *(("--header", f"Authorization: {authorization}") if authorization else ()),
        *("--checks", CHECKS),
        *("--phases", PHASES),
        *("--max-examples", str(EXAMPLES)),
        *("--seed", "1"),
        *options,
        "--no-color",
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode()
