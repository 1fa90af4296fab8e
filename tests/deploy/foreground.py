"""`local-stack up --foreground` with stand-ins for the services: state directory and commands are arguments."""

import signal
import sys
from pathlib import Path

from local_stack import cli
from local_stack.stack import Stack

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    stack = Stack(Path(sys.argv[1]), commands=Path(sys.argv[2]))
    cli.run_up(stack, foreground=True)
