"""Small files of the stack: private, and written at once or not at all."""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with `text`, readable by the owner alone from the first byte."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(path)


def kept_secrets(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The secrets kept in `path`, with a fresh random one added for every name that has none yet."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in names if name not in kept]
    if missing:
        kept |= {name: secrets.token_hex(24) for name in missing}
        write_private(path, json.dumps(kept, indent=2))
    return kept
