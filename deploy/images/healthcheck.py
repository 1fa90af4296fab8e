# ruff: noqa: INP001  a program of the image
"""Exit 0 when the service in this container says that it is ready."""

import os
import sys
import urllib.error
import urllib.request


def main() -> None:
    """Ask `READY_URL`; the answer's body goes to the container engine's health log."""
    try:
        with urllib.request.urlopen(os.environ["READY_URL"], timeout=5) as response:  # noqa: S310  our own, http
            sys.stdout.write(response.read().decode())
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
