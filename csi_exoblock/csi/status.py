"""The only table from errors to gRPC codes, and the text of a status (S4, F11)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grpc import StatusCode

from csi_exoblock import errors
from csi_exoblock.escaping import printable

# A VolumeAttachment holds at most 1024 bytes of a message; a longer one would be lost completely.
_MESSAGE_BYTES = 999

CODES: Mapping[type[Exception], StatusCode] = {
    # An unexpected error does not tell the outcome. Never UNKNOWN: the provisioner takes that as
    # final and could leak a volume.
    Exception: StatusCode.UNAVAILABLE,
    NotImplementedError: StatusCode.UNIMPLEMENTED,  # how the generated services decline a call
    errors.DriverError: StatusCode.UNAVAILABLE,
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.SizeOutOfRange: StatusCode.OUT_OF_RANGE,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.Mismatch: StatusCode.ALREADY_EXISTS,
    errors.WrongState: StatusCode.FAILED_PRECONDITION,
    errors.LimitReached: StatusCode.RESOURCE_EXHAUSTED,
    errors.WrongZone: StatusCode.RESOURCE_EXHAUSTED,
    errors.OperationPending: StatusCode.ABORTED,
    errors.InvalidToken: StatusCode.ABORTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.ApiError: StatusCode.UNAVAILABLE,
    errors.ApiUnavailable: StatusCode.UNAVAILABLE,
    errors.UnprovenAbsence: StatusCode.UNAVAILABLE,
    errors.ReadAgain: StatusCode.UNAVAILABLE,
    errors.ApiDenied: StatusCode.PERMISSION_DENIED,
    # controller/ translates the refusals that it understands; the others are final.
    errors.ApiRejected: StatusCode.INTERNAL,
    errors.OperationFailed: StatusCode.INTERNAL,
    errors.KubernetesError: StatusCode.UNAVAILABLE,
    errors.KubernetesUnavailable: StatusCode.UNAVAILABLE,
    errors.KubernetesDenied: StatusCode.UNAVAILABLE,  # rights can be granted, so a retry can help
    errors.KubernetesConflict: StatusCode.UNAVAILABLE,
    errors.KubernetesExpired: StatusCode.UNAVAILABLE,
    errors.HostError: StatusCode.UNAVAILABLE,
    errors.NoAnswer: StatusCode.UNAVAILABLE,
    errors.CommandFailed: StatusCode.UNAVAILABLE,
    errors.ForeignContent: StatusCode.FAILED_PRECONDITION,
}

# The codes after which sidecars and kubelet send the same call again.
_TRIED_AGAIN = frozenset({StatusCode.ABORTED, StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED})
_SAYS_SO = re.compile(r"\b(retry|retried|again|joins|continues)\b")

_REJECTIONS: Mapping[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ABORTED,
    410: StatusCode.NOT_FOUND,
    422: StatusCode.INVALID_ARGUMENT,
}


def code_of(error: Exception) -> StatusCode:
    """Return the code for an error: the row of its class or of its nearest base class."""
    if isinstance(error, errors.ApiRejected):
        return _REJECTIONS.get(error.http_status, CODES[errors.ApiRejected])
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def explain(error: Exception) -> str:
    """Return the text of a status: what happened, and what happens next (F11)."""
    text = str(error)
    if code_of(error) in _TRIED_AGAIN and not _SAYS_SO.search(text):
        text += "; Kubernetes will retry"
    return message_of(text)


def message_of(text: str) -> str:
    """Return the text, escaped and cut to the length that every sidecar can store."""
    text = printable(text)
    encoded = text.encode()
    if len(encoded) <= _MESSAGE_BYTES:
        return text
    return encoded[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def metric_label(code: StatusCode) -> str:
    """Return the code's name as kubernetes-csi's own metrics spell it: `InvalidArgument`."""
    return "OK" if code is StatusCode.OK else code.name.title().replace("_", "")
