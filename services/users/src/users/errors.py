"""Named failures."""

from types import MappingProxyType

from shared.refusals import Refusal


class NoSuchUser(Refusal):
    """There is no user of this id."""

    status = 404

    def __init__(self, user_id: object) -> None:
        super().__init__(f"There is no user {user_id}.")


class UserIsErased(Refusal):
    """Nothing can be written about a person who was erased."""

    def __init__(self, user_id: object) -> None:
        super().__init__(f"User {user_id} was erased.")


class UserIsMerged(Refusal):
    """The user counts as another one."""

    def __init__(self, user_id: object, canonical_id: object) -> None:
        super().__init__(f"User {user_id} counts as {canonical_id}.", canonical_id=str(canonical_id))


class SamePerson(Refusal):
    """A merge of users that count as the same one already: it would make a circle."""

    def __init__(self, user_id: object, into: object) -> None:
        super().__init__(f"{user_id} and {into} are the same person already.")


class NotMerged(Refusal):
    """There is no merge to undo."""

    def __init__(self, user_id: object) -> None:
        super().__init__(f"User {user_id} is not merged into anybody.")


class NoVersion(Refusal):
    """A correction that does not say of which version it is."""

    status = 428

    def __init__(self) -> None:
        super().__init__("Say which version you saw: `If-Match` with its `sequence`.")


class ChangedMeanwhile(Refusal):
    """The person changed since they were read."""

    status = 412

    def __init__(self, user_id: object, sequence: int) -> None:
        super().__init__(f"User {user_id} has changed since: read them again.", sequence=sequence)


class NotConfirmed(Refusal):
    """An erasure whose confirmation is neither the user's id nor an address of theirs."""

    def __init__(self) -> None:
        super().__init__("`confirm` is neither the user's id nor an e-mail address of theirs.")


class BusyElsewhere(Refusal):
    """An erasure while somebody, such as a backup, reads what it must have for itself."""

    status = 503
    headers = MappingProxyType({"Retry-After": "60"})

    def __init__(self) -> None:
        super().__init__("A backup or another long reader is at work. Nothing was erased: try again in a minute.")


class KeyReused(Refusal):
    """An idempotency key that stood for something else before."""

    status = 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for a different request.")
