"""Why somebody is not let in, or not further."""

from shared.refusals import Refusal


class NotLoggedIn(Refusal):
    """No session and no token, or one that has ended."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Log in by POST /api/admin/login, or send a token as `Authorization: Bearer …`.")


class NoSuchPath(Refusal):
    """A path with characters that none of ours has."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Not Found")


class WrongCredentials(Refusal):
    """No such account, a disabled one, or another password: nobody is told which."""

    status = 401

    def __init__(self) -> None:
        super().__init__("The e-mail or the password is wrong.")


class Forbidden(Refusal):
    """The role of the actor is too small."""

    status = 403

    def __init__(self, least: str) -> None:
        super().__init__(f"This needs the role {least}.", needs=least)


class ForgedRequest(Refusal):
    """A write in a session that the page it belongs to may not have made."""

    status = 403


class TooManyAttempts(Refusal):
    """Too many logins for an account or from an address; the next may be tried after ``seconds``."""

    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts. Try again in {seconds} s.")
        self.headers = {"Retry-After": str(seconds)}


class StaffRefusal(Exception):
    """What an operator asked for cannot be done; the message says why."""


class UnruledRoute(RuntimeError):
    """A route of the admin API that the policy table does not know: the application does not start with it."""
