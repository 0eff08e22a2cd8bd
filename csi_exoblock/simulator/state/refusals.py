"""Refusals of requests as the API makes them: an HTTP status and a message.

Source: statuses and texts that clients of the real API have logged; where nothing was seen, the
status that fits HTTP best.
"""

from __future__ import annotations

from uuid import UUID


class Refusal(Exception):
    """The API refuses a request, which then has no effect.

    Args:
        status: The HTTP status of the answer, 400 to 599.
        by_state: Whether a limit or a state is the reason; modes can change the status then.
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
    """Refuse a request with a bad key, signature or expiry; the API never says which is bad."""
    return Refusal(403, "Invalid request signature")


def forbidden() -> Refusal:
    """Refuse an operation that the role of the caller's key lacks."""
    return Refusal(403, "Forbidden by role policy for compute")


def locked(what: str, id: UUID) -> Refusal:
    """Refuse to change a locked resource; the key's role is not the reason."""
    return Refusal(403, f"{what} {id} is locked")


def not_found(what: str, id: UUID | str) -> Refusal:
    """Refuse a request about a resource that does not exist in the zone."""
    return Refusal(404, f"{what} {id} not found")


def conflict(message: str) -> Refusal:
    """Refuse a request that the resource's state does not allow."""
    return Refusal(409, message, by_state=True)


def not_attached() -> Refusal:
    """Refuse to detach a volume that is not attached."""
    return Refusal(400, "Volume not attached", by_state=True)


def in_use(message: str) -> Refusal:
    """Refuse to resize a volume that is attached to a running instance."""
    return Refusal(400, message, by_state=True)


def still_attached(message: str) -> Refusal:
    """Refuse to delete a volume that is attached."""
    return Refusal(412, message, by_state=True)


def limit_reached(resource: str) -> Refusal:
    """Refuse a request that would exceed a quota."""
    return Refusal(409, f"Usage of resource {resource} has been exceeded", by_state=True)


def too_small_an_instance() -> Refusal:
    """Refuse to attach to an instance whose size never allows volumes."""
    return Refusal(409, "Instance size must be at least small", by_state=True)
