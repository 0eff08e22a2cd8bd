"""The wrapper around every call: it logs, measures, and turns errors into a gRPC status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from csi_exoblock import calls
from csi_exoblock.concurrency import Deadline
from csi_exoblock.csi.failures import Failures
from csi_exoblock.csi.redaction import loggable
from csi_exoblock.csi.room import Room
from csi_exoblock.csi.status import code_of, explain, message_of, metric_label
from csi_exoblock.errors import DeadlineExceeded, DriverError, InvalidRequest
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import ProcessTiming

log = logging.getLogger(__name__)

# Fields of requests that name the call's volume, snapshot or node, and their names in log lines.
_BOUND = {
    "volume_id": "volume_id",
    "source_volume_id": "volume_id",
    "snapshot_id": "snapshot_id",
    "node_id": "node_id",
    "name": "asked_name",
}
_BOUND_LENGTH = 256

_IDENTITY = "/csi.v1.Identity/"
_MOST_SPARE_WORKERS = 10  # they answer within milliseconds

# Reads that sidecars and kubelet repeat at least every minute, some for each volume. They are
# logged at level debug, but their failures like all others.
_QUIET = frozenset({"Probe", "NodeGetCapabilities", "NodeGetVolumeStats", "NodeGetVolumeHealth"})

Handler = Callable[[Message, grpc.ServicerContext], Message]
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def deadline_of(context: grpc.ServicerContext) -> Deadline:
    """Return a call's deadline, which is cancelled when the call is."""
    deadline = Deadline(context.time_remaining())
    if not context.add_callback(deadline.cancel):
        deadline.cancel()  # the call ended already
    return deadline


class Interceptor(grpc.ServerInterceptor):
    """Gives every call of every service its log line, its metrics and its status.

    Args:
        workers: How many threads serve calls. A tenth of them, up to ten, but of three or more one
            at least, are kept for the identity service, so that Probe never waits behind long
            calls (N14).

    Attributes:
        room: The places of all other calls.
    """

    def __init__(
        self, *, driver_name: str, metrics: Metrics, workers: int, timing: ProcessTiming
    ) -> None:
        self._driver_name = driver_name
        self._metrics = metrics
        self._failures = Failures(forgotten_seconds=timing.failure_forgotten)
        metrics.update_by(self._show_failures)
        self.room = Room(
            workers - max(int(workers > 2), min(workers // 10, _MOST_SPARE_WORKERS)),
            overdue_seconds=timing.call_overdue,
        )

    def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], grpc.RpcMethodHandler[_Request, _Response] | None
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_Request, _Response] | None:
        """Wrap the handler of one call; a call of an unknown method has no handler."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method, inner = handler_call_details.method, handler.unary_unary

        def wrapped(request: _Request, context: grpc.ServicerContext) -> _Response:
            return self._run(method, inner, request, context)

        return grpc.unary_unary_rpc_method_handler(
            wrapped,
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _run(
        self,
        method: str,
        handler: Callable[[_Request, grpc.ServicerContext], _Response],
        request: _Request,
        context: grpc.ServicerContext,
    ) -> _Response:
        about = _about(request)
        with calls.enter(method.rpartition("/")[2], **about) as call:
            if log.isEnabledFor(logging.DEBUG) and isinstance(request, Message):
                log.debug("request", extra={"request": loggable(request)})
            try:
                if isinstance(request, _Unreadable):
                    raise InvalidRequest(f"the request can't be read: {request.why}")
                if method.startswith(_IDENTITY):
                    response = handler(request, context)
                else:
                    with self.room.place(context):
                        response = handler(request, context)
            except Exception as error:
                code, message = code_of(error), self._explain(error, method, call)
                self._record(method, call, about, code, message)
            else:
                self._record(method, call, about, StatusCode.OK, None)
                return response
        return context.abort(code, message)

    def _explain(self, error: Exception, method: str, call: calls.Call) -> str:
        if isinstance(error, DeadlineExceeded):
            return message_of(f"{error} (it was at: {call.step})")
        if isinstance(error, DriverError):
            return explain(error)
        if isinstance(error, NotImplementedError):
            return f"{method} is not offered by this driver"
        self._metrics.unexpected_errors.labels(method).inc()
        log.error("unexpected error", exc_info=error)
        return f"unexpected {type(error).__name__} at: {call.step}; the driver's log has its trace"

    def _record(
        self,
        method: str,
        call: calls.Call,
        about: Mapping[str, str],
        code: StatusCode,
        message: str | None,
    ) -> None:
        self._failures.note(method, " ".join(about.values()), succeeded=code is StatusCode.OK)
        seconds = call.seconds()
        self._metrics.rpc_seconds.labels(self._driver_name, method, metric_label(code)).observe(
            seconds
        )
        quiet = call.name in _QUIET and code is StatusCode.OK
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "call ended",
            extra={"code": code.name, "seconds": round(seconds, 3), "error": message},
        )

    def _show_failures(self) -> None:
        for method, seconds in self._failures.oldest_seconds().items():
            self._metrics.failing_oldest.labels(method).set(seconds)


class _Unreadable:
    """Stands for a request that can't be parsed; gRPC itself would answer with INTERNAL."""

    def __init__(self, why: str) -> None:
        self.why = why


def _lenient(
    deserialize: Callable[[bytes], _Request] | None,
) -> Callable[[bytes], _Request] | None:
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:  # a request or _Unreadable
        try:
            return deserialize(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _about(request: object) -> dict[str, str]:
    values = ((label, getattr(request, name, "")) for name, label in _BOUND.items())
    return {label: value[:_BOUND_LENGTH] for label, value in values if value}
