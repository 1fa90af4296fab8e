# ruff: noqa: INP001  a program that runs before anything is installed
"""Say in a sentence why this Python cannot make a virtual environment for us. Runs on Python 3.6 and later."""

import importlib.util
import sys

NEEDED = (3, 11)


def main() -> None:
    """Return when this Python will do, else exit with a sentence."""
    if sys.version_info < NEEDED:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Python 3.11 or newer is needed, and {sys.executable} is {found}. "
            "Install a newer one and name it, for example: make install PYTHON=python3.12"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: its modules venv and ensurepip are missing. "
            "Debian and Ubuntu have them in a package: apt-get install python3-venv"
        )


if __name__ == "__main__":
    main()
