"""The errors for the API's refusals and failed operations (S4)."""

from __future__ import annotations

from http import HTTPStatus

from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DriverError,
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    WrongState,
)
from csi_exoblock.model import Operation
from csi_exoblock.states import FailureReason, OperationState

_BY_REASON: dict[FailureReason, type[DriverError]] = {
    FailureReason.BUSY: OperationPending,
    FailureReason.CONFLICT: OperationPending,
    FailureReason.INCORRECT: InvalidRequest,
    FailureReason.UNSUPPORTED: InvalidRequest,
    FailureReason.FORBIDDEN: ApiDenied,
    FailureReason.NOT_FOUND: NotFound,
}


def refused(what: str, error: ApiRejected | ApiDenied) -> DriverError:
    """Return the refusal with a message that says what was refused.

    Args:
        what: The beginning of the message: what was asked of which resource.
    """
    if isinstance(error, ApiDenied):
        return ApiDenied(f"{what}: {error}")
    return ApiRejected(f"{what}: {error}", http_status=error.http_status)


def lasting(refusal: DriverError) -> DriverError:
    """Return the final error for a refused create or change that nothing read explains.

    Such a 409 is permanent, for example a limit that no quota shows. As ABORTED it would be retried
    for ever, and the user could neither lower the request nor delete the claim (S4).
    """
    if isinstance(refusal, ApiRejected) and refusal.http_status == HTTPStatus.CONFLICT:
        return WrongState(f"{refusal}; nothing that the API shows explains it")
    return refusal


def still_there(refusal: DriverError) -> DriverError:
    """Return the error for a failed delete of what was read once more and is still there.

    A cloud that could not find a part of it has not said that the whole is gone. As NotFound its
    caller would take it for deleted, and nobody would pay attention to what is left (C6).
    """
    if isinstance(refusal, NotFound):
        return ApiUnavailable(f"{refusal}; it is still there, and a retry deletes it")
    return refusal


def ending(operation: Operation) -> str:
    """Return in words how an operation without success ended."""
    if operation.state is not OperationState.FAILURE:
        return f"operation {operation.id} timed out"
    reason = operation.reason or FailureReason.UNKNOWN
    message = f", {operation.message}" if operation.message else ""
    return f"operation {operation.id} failed: {reason}{message}"


def failed(what: str, operation: Operation) -> DriverError:
    """Return the error for an operation that ended without effect, by its reason.

    Args:
        what: The beginning of the message: what was asked of which resource.
    """
    reason = operation.reason or FailureReason.UNKNOWN
    text = f"{what}: {ending(operation)}"
    if meaning := _BY_REASON.get(reason):
        return meaning(text)
    if reason is FailureReason.FAULT:
        return OperationFailed(text, reason=reason)
    return ApiUnavailable(text)
