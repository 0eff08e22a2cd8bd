"""Say no as the API does: an HTTP status and a message.

Source: statuses and texts as clients of the real API have logged them; where nothing was seen, the
status that a reader of HTTP would expect.
"""

from __future__ import annotations

from uuid import UUID


class Refusal(Exception):
    """The API refuses a request, and nothing has happened.

    Args:
        status: The HTTP status of the answer, 400 to 599.
        by_state: Whether a limit or a state forbids it, for which other statuses are possible too.
    """

    def __init__(self, status: int, message: str, *, by_state: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.by_state = by_state


def invalid(message: str) -> Refusal:
    """Refuse a request that can never succeed as it is."""
    return Refusal(400, message)


def bad_signature() -> Refusal:
    """Refuse a request whose key, signature or expiry is not good; the API never says which."""
    return Refusal(403, "Invalid request signature")


def forbidden() -> Refusal:
    """Refuse what the role of the caller's key does not contain."""
    return Refusal(403, "Forbidden by role policy for compute")


def locked(what: str, id: UUID) -> Refusal:
    """Refuse to change what is locked, which is no fault of the key."""
    return Refusal(403, f"{what} {id} is locked")


def not_found(what: str, id: UUID | str) -> Refusal:
    """Refuse to work on what does not exist in the zone."""
    return Refusal(404, f"{what} {id} not found")


def conflict(message: str) -> Refusal:
    """Refuse what the present state does not allow."""
    return Refusal(409, message, by_state=True)


def not_attached() -> Refusal:
    """Refuse to detach a volume that is attached to nothing."""
    return Refusal(400, "Volume not attached", by_state=True)


def in_use(message: str) -> Refusal:
    """Refuse to resize a volume that a running instance has."""
    return Refusal(400, message, by_state=True)


def still_attached(message: str) -> Refusal:
    """Refuse to delete a volume that an instance has."""
    return Refusal(412, message, by_state=True)


def limit_reached(resource: str) -> Refusal:
    """Refuse what would exceed a quota."""
    return Refusal(409, f"Usage of resource {resource} has been exceeded", by_state=True)


def too_small_an_instance() -> Refusal:
    """Refuse to attach to an instance whose size is too small for that, for ever."""
    return Refusal(409, "Instance size must be at least small", by_state=True)
