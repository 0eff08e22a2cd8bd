"""Say no as the API does: an HTTP status and a message.

Source: the statuses are documented nowhere (requirements, section 8); these are the ones a reader
of HTTP would expect.
"""

from __future__ import annotations

from uuid import UUID


class Refusal(Exception):
    """The API refuses a request, and nothing has happened.

    Args:
        status: The HTTP status of the answer, 400 to 599.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> Refusal:
    """Refuse a request that can never succeed as it is."""
    return Refusal(400, message)


def forbidden(operation: str) -> Refusal:
    """Refuse what the role of the caller's key does not contain."""
    return Refusal(403, f"forbidden by the role policy: {operation}")


def not_found(what: str, id: UUID | str) -> Refusal:
    """Refuse to work on what does not exist in the zone."""
    return Refusal(404, f"{what} {id} not found")


def conflict(message: str) -> Refusal:
    """Refuse what the present state does not allow."""
    return Refusal(409, message)


def limit_reached(resource: str, limit: int) -> Refusal:
    """Refuse what would exceed a quota."""
    return Refusal(409, f"quota {resource} reached: the limit is {limit}")
