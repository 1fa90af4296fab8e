"""OpenFeature over one file, evaluated by flagd's own evaluator. Targeting is flagd's: roles, sticky percentages.

flagd's provider has a file resolver too, but one that keeps the last good flags when the file is broken. Here a file
that cannot be read has no flags at all, so that everything takes its old path.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.provider import AbstractProvider, Metadata

UNREADABLE = "unreadable"


class FileProvider(AbstractProvider):
    """The flags of ``path``, as of the last :meth:`reload`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._core = FlagdCore()
        self.error: str | None = None

    def reload(self) -> Mapping[str, str] | None:
        """Read the file if it is another than before; return flag → definition then, else ``None``."""
        seen = self._stamp()
        if seen == self._seen:
            return None
        self._seen, self._core = seen, FlagdCore()
        try:
            said = json.loads(self._path.read_text())
            flags = {name: json.dumps(flag, sort_keys=True) for name, flag in said["flags"].items()}
            self._core.set_flags(said)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OpenFeatureError) as error:
            self._core, self.error = FlagdCore(), f"{type(error).__name__}: {error}"
            return {}
        self.error = None
        return flags

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - of the path as it is now, links followed
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def get_metadata(self) -> Metadata:
        return Metadata(name="flag-file")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as OpenFeature calls it
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        return self._core.resolve_boolean_value(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._core.resolve_string_value(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._core.resolve_integer_value(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._core.resolve_float_value(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        return self._core.resolve_object_value(flag_key, default_value, evaluation_context)
