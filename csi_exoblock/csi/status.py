"""The one table from errors to gRPC codes, and how a status reads (S4, F11)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grpc import StatusCode

from csi_exoblock import errors
from csi_exoblock.escaping import printable

# A text longer than 1024 bytes does not fit into a VolumeAttachment and is lost whole.
_MESSAGE_BYTES = 999

CODES: Mapping[type[Exception], StatusCode] = {
    # What has no row says nothing of the outcome. Never UNKNOWN: the provisioner takes it for the
    # end, and may leak a volume.
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
    errors.ApiDenied: StatusCode.PERMISSION_DENIED,
    # controller/ explains what it can by looking; what is left was refused for good.
    errors.ApiRejected: StatusCode.INTERNAL,
    errors.OperationFailed: StatusCode.INTERNAL,
    errors.KubernetesError: StatusCode.UNAVAILABLE,
    errors.KubernetesUnavailable: StatusCode.UNAVAILABLE,
    errors.KubernetesDenied: StatusCode.UNAVAILABLE,  # rights come back, and nothing was done yet
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
    """Return the code for an error: its class's row, or that of the nearest class above."""
    if isinstance(error, errors.ApiRejected):
        return _REJECTIONS.get(error.http_status, CODES[errors.ApiRejected])
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def explain(error: Exception) -> str:
    """Return what happened and what happens next (F11)."""
    text = str(error)
    if code_of(error) in _TRIED_AGAIN and not _SAYS_SO.search(text):
        text += "; it is tried again"
    return message_of(text)


def message_of(text: str) -> str:
    """Return the text, safe to show, and shortened to what every sidecar can store."""
    text = printable(text)
    encoded = text.encode()
    if len(encoded) <= _MESSAGE_BYTES:
        return text
    return encoded[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def metric_label(code: StatusCode) -> str:
    """Return the code's name as kubernetes-csi's own metrics spell it: `InvalidArgument`."""
    return "OK" if code is StatusCode.OK else code.name.title().replace("_", "")
