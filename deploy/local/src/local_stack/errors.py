"""What can go wrong here. Every message is a sentence for the person at the keyboard and names the way out."""


class StackError(Exception):
    """Something prevents the local stack from running; the message says what, and what to do about it."""


class PortBusy(StackError):
    """A port that a part needs is taken by somebody else."""


class PartFailed(StackError):
    """A part was started and died, or did not become ready in time; the message ends with its last log lines."""


class ProgramMissing(StackError):
    """A program that must be installed is not, and could not be installed."""


class AlreadyStarting(StackError):
    """Another process is starting or stopping this stack right now."""
