"""The driver's exceptions, named by what the caller can do about the failure.

They know no gRPC: `csi_exoblock.csi.status` gives each class its code. A message says what
happened, to which resource, and what to do, because it reaches the user as a Kubernetes event.
"""

from __future__ import annotations

from csi_exoblock.states import FailureReason


class DriverError(Exception):
    """Something failed, possibly after it took effect; the caller should retry."""


class InvalidRequest(DriverError):
    """The request can never succeed: a field is missing, malformed, unknown or contradictory."""


class SizeOutOfRange(DriverError):
    """The size is not possible: above a limit, below the source, or more than the quota leaves."""


class NotFound(DriverError):
    """The volume, snapshot, instance or path that the request names doesn't exist."""


class Mismatch(DriverError):
    """The name or path is taken by something other than the request asks for.

    Source: CSI 1.13, `ALREADY_EXISTS` of CreateVolume, CreateSnapshot and NodeStageVolume.
    """


class WrongState(DriverError):
    """The volume's present state forbids the request; the message says what must happen first."""


class LimitReached(DriverError):
    """A limit is reached, which reading it has proven, or the volume can't be in the wanted zone.

    The same request can succeed in another zone or later.
    """


class WrongZone(LimitReached):
    """The resource is in another zone than the request allows; the pod has to move."""


class OperationPending(DriverError):
    """Another call is working on the same volume; the caller should retry.

    Source: CSI 1.13, Error Scheme, "Operation pending for volume".
    """


class InvalidToken(DriverError):
    """The token of a list is unknown; the caller should start the list again.

    Source: CSI 1.13, `ABORTED` of ListVolumes and ListSnapshots.
    """


class DeadlineExceeded(DriverError):
    """The caller's or the driver's deadline came before the work ended; a retry joins the work."""


class ApiError(DriverError):
    """The cloud's API did not do what was asked."""


class ApiUnavailable(ApiError):
    """The API could not be reached, was overloaded or broken, or its answer can't be read.

    Args:
        may_have_effect: Whether a write might have taken effect although no answer says so. False
            if the request never left or the API refused it unread.
        retry_after_seconds: For how many seconds the API asked for no requests, 0.0 for none.
    """

    def __init__(
        self, message: str, *, may_have_effect: bool = True, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.may_have_effect = may_have_effect
        self.retry_after_seconds = retry_after_seconds


class UnprovenAbsence(ApiUnavailable):
    """A 404 that a gateway can have written, or one that no list of the zone confirms.

    It proves that nothing answers at this address now, not that the resource does not exist.
    """


class ReadAgain(ApiUnavailable):
    """A write was not sent, because its turn came too long after the read that it rests on.

    It had no effect. The caller should read and check again, then send it again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, may_have_effect=False)


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
    """An operation of the API ended in `failure`; `controller/` decides what that means.

    Args:
        reason: The API's own reason.
    """

    def __init__(self, message: str, *, reason: FailureReason) -> None:
        super().__init__(message)
        self.reason = reason


class KubernetesError(DriverError):
    """The Kubernetes API server did not do what was asked."""


class KubernetesUnavailable(KubernetesError):
    """The API server could not be reached or was overloaded, or its answer can't be read."""


class KubernetesDenied(KubernetesError):
    """The API server does not know the service account, or does not allow it to do this."""


class KubernetesConflict(KubernetesError):
    """Somebody else changed the object before the change arrived; read it again."""


class KubernetesExpired(KubernetesError):
    """The next pages of a list have expired; the list must begin again."""


class HostError(DriverError):
    """The host did not do what was asked."""


class NoAnswer(HostError):
    """A disk or mount did not answer in time; the thread that waits for it is left behind."""


class CommandFailed(HostError):
    """A command on the host failed, timed out or was killed, possibly after half its work."""


class ForeignContent(HostError):
    """The disk holds something other than the request expects, so it is left untouched."""
