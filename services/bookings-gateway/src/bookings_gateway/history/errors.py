"""Named failures of moving the history. Their text is what the operator reads."""


class HistoryError(Exception):
    """Something an operator has to know or decide; becomes a sentence and exit code 1."""


class ImportHeld(HistoryError):
    """Another process holds the run and is alive."""

    def __init__(self, state: str, silent_seconds: float) -> None:
        super().__init__(
            f"The import is {state.replace('_', ' ')} in another process, which gave a sign of life "
            f"{silent_seconds:.0f} s ago. Wait for it, or take over with --force if you know that it is gone."
        )


class Stopped(HistoryError):
    """The import cannot go on by itself. What was told is kept, and the run goes on from there."""


class Interrupted(Stopped):
    """The database did not let a transaction through, several times in a row."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The database does not let it go on ({why}). What was done is kept: when that is mended, the same command "
            "goes on where it stopped."
        )


class TooManyRefused(Stopped):
    """The database refuses row after row: something is wrong with all of them."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"The database refused a row in half of the recent chunks (last with {code}): something is wrong "
            "with more than rows. When that is mended, `bookings-gateway history import --apply` goes on, and "
            "`history errors retry --code refused_by_database` tries the refused rows again."
        )


class WatchEnded(Stopped):
    """Nobody looks any more whether live work needs the room."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__(
            f"Watching live work ended ({type(error).__name__ if error else 'cancelled'}): the import would go on "
            "blindly, or wait for ever, so it stops. What was done is kept: the same command goes on where it stopped."
        )


class LeaseLost(HistoryError):
    """Another process took the run over; this one changed nothing since."""

    def __init__(self) -> None:
        super().__init__("Another process took this run over; this one stops. See `bookings-gateway history status`.")


class Paused(HistoryError):
    """Somebody paused the run."""

    def __init__(self) -> None:
        super().__init__("Paused. `bookings-gateway history import --apply` goes on where it stopped.")


class RefusedAgain(HistoryError):
    """The database does not take what was to be tried again."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The database refuses it again ({why}); nothing was decided. Try fewer at once, or mend the cause."
        )


class Unsigned(HistoryError):
    """A decision nobody stands for, or without its why."""

    def __init__(self) -> None:
        super().__init__("A decision is kept with a name and a reason of at least three characters: say both.")


class NoRun(HistoryError):
    """Nothing was imported yet, or all of it was taken back."""

    def __init__(self) -> None:
        super().__init__("There is no import. Begin with `bookings-gateway history preflight`.")


class NotReady(HistoryError):
    """A step before this one is missing; the message names it."""


class NoSuchItem(HistoryError):
    """The error desk knows no such booking."""


class NotCorrectable(HistoryError):
    """A correction that could not mean anything; the message says why."""


class PartSilent(HistoryError):
    """Another service does not answer, or not as it should."""

    def __init__(self, part: str, url: str, why: str, *, status: int | None = None) -> None:
        mend = "Start it, or correct its URL setting."
        if status in {401, 403}:
            mend = "It wants the same INTERNAL_TOKEN as this service has."
        elif status is not None:
            mend = "It is there and cannot: see its log, and that its URL setting names it."
        said = "does not answer" if status is None else "refuses"
        super().__init__(f"The {part} service at {url} {said} ({why}). {mend}")
