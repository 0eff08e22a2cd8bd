"""The driver's exceptions: every failure of a call, named by what the caller can do about it.

The tree knows no gRPC: `csi_exoblock.csi.status` gives each class its code. Messages say what,
which and what to do, for they reach the user as a Kubernetes event.
"""

from __future__ import annotations

from csi_exoblock.states import FailureReason


class DriverError(Exception):
    """Something failed, perhaps after it took effect, so the caller should retry."""


class InvalidRequest(DriverError):
    """The request can never succeed: a field is missing, malformed, unknown or contradictory."""


class SizeOutOfRange(DriverError):
    """The size can't be had: above a limit, below the source, or more than the quota leaves."""


class NotFound(DriverError):
    """The volume, snapshot, instance or path that the request names doesn't exist."""


class Mismatch(DriverError):
    """The name or path is taken by something that isn't what the request asks for.

    Source: CSI 1.13, `ALREADY_EXISTS` of CreateVolume, CreateSnapshot and NodeStageVolume.
    """


class WrongState(DriverError):
    """The volume's present state forbids the request; the message says what must happen first."""


class LimitReached(DriverError):
    """A limit is reached, as was read and proven, or the zone asked for can't have the volume.

    Elsewhere or later the same request may succeed.
    """


class WrongZone(LimitReached):
    """What the request is about is in another zone than it allows: the pod has to move."""


class OperationPending(DriverError):
    """Another call is working on the same volume; the caller should retry.

    Source: CSI 1.13, Error Scheme, "Operation pending for volume".
    """


class InvalidToken(DriverError):
    """The token of a list is unknown; the caller should start the list again.

    Source: CSI 1.13, `ABORTED` of ListVolumes and ListSnapshots.
    """


class DeadlineExceeded(DriverError):
    """The time for the call, the caller's or our own, ended before the work; a retry joins it."""


class ApiError(DriverError):
    """The cloud's API did not do what was asked."""


class ApiUnavailable(ApiError):
    """The API could not be reached, was overloaded, broke, or answered what can't be read.

    Args:
        may_have_effect: Whether a write may have been carried out although no answer says so; false
            where the request never left or the API turned it away unread.
        retry_after_seconds: How long the API asked to be left alone, 0.0 if it did not.
    """

    def __init__(
        self, message: str, *, may_have_effect: bool = True, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.may_have_effect = may_have_effect
        self.retry_after_seconds = retry_after_seconds


class ApiDenied(ApiError):
    """The API refused the key or the key's role."""


class ApiRejected(ApiError):
    """The API refused the request with a 4xx status.

    Args:
        http_status: The status of the refusal, 400 to 499, never 401, 403, 408 or 429.
    """

    def __init__(self, message: str, *, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class OperationFailed(ApiError):
    """An operation of the API ended in `failure`; `controller/` says what that means.

    Args:
        reason: The API's own reason.
    """

    def __init__(self, message: str, *, reason: FailureReason) -> None:
        super().__init__(message)
        self.reason = reason


class KubernetesError(DriverError):
    """The Kubernetes API server did not do what was asked."""


class KubernetesUnavailable(KubernetesError):
    """The API server could not be reached, was overloaded, or answered what can't be read."""


class KubernetesDenied(KubernetesError):
    """The API server does not know our service account, or does not let it do this."""


class KubernetesConflict(KubernetesError):
    """The object is not as the change expects: somebody else changed it; read it again."""


class KubernetesExpired(KubernetesError):
    """A list was read too slowly to be continued; it must begin again."""


class HostError(DriverError):
    """The host did not do what was asked."""


class NoAnswer(HostError):
    """What was looked at did not answer in time, and is left behind."""


class CommandFailed(HostError):
    """A command on the host failed, timed out or was killed, perhaps after half its work."""


class ForeignContent(HostError):
    """The disk holds something other than the request expects, so it is left untouched."""
