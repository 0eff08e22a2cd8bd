"""One wrapper around every call: log fields, time, metrics, and errors made into a status."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.csi.redaction import loggable
from csi_exoblock.csi.status import code_of, explain, message_of, metric_label
from csi_exoblock.errors import DeadlineExceeded, DriverError, InvalidRequest
from csi_exoblock.metrics import Metrics

log = logging.getLogger(__name__)

# Fields of requests that say what a call is about, and what they are called in a log line.
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

# Reads that sidecars and kubelet repeat every minute or more often, for each volume, as long as the
# driver lives. Their failures are logged like all others.
_QUIET = frozenset({"Probe", "NodeGetCapabilities", "NodeGetVolumeStats", "NodeGetVolumeHealth"})

Handler = Callable[[Message, grpc.ServicerContext], Message]
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def deadline_of(context: grpc.ServicerContext) -> Deadline:
    """Return the time that a call has; it is cancelled with the call."""
    deadline = Deadline(context.time_remaining())
    if not context.add_callback(deadline.cancel):
        deadline.cancel()  # the call ended already
    return deadline


class Interceptor(grpc.ServerInterceptor):
    """Gives every call of every service its log line, its metrics and its status.

    Args:
        workers: How many threads serve calls. A tenth of them, up to ten, serve only what is asked
            about the driver itself, so that Probe never waits for calls that wait (N14).
    """

    def __init__(self, *, driver_name: str, metrics: Metrics, workers: int) -> None:
        self._driver_name = driver_name
        self._metrics = metrics
        self._most = workers - min(workers // 10, _MOST_SPARE_WORKERS)
        self._room = threading.Semaphore(self._most)

    def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], grpc.RpcMethodHandler[_Request, _Response] | None
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_Request, _Response] | None:
        """Wrap the handler of one call; a call that no service knows has none."""
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
        with logs.call(method.rpartition("/")[2], **_about(request)) as call:
            if log.isEnabledFor(logging.DEBUG) and isinstance(request, Message):
                log.debug("request", extra={"request": loggable(request)})
            try:
                if isinstance(request, _Unreadable):
                    raise InvalidRequest(f"the request can't be read: {request.why}")
                with self._room_for(method):
                    response = handler(request, context)
            except Exception as error:
                code, message = code_of(error), self._explain(error, method, call)
                self._record(method, call, code, message)
            else:
                self._record(method, call, StatusCode.OK, None)
                return response
        return context.abort(code, message)

    @contextmanager
    def _room_for(self, method: str) -> Iterator[None]:
        """Serve a call in the block, unless that would leave no thread for Probe.

        Raises:
            DriverError: So many calls are being served that this one has to come again.
        """
        if method.startswith(_IDENTITY):
            yield
        elif self._room.acquire(blocking=False):
            try:
                yield
            finally:
                self._room.release()
        else:
            raise DriverError(f"{self._most} calls are being served, and no more fit; retry")

    def _explain(self, error: Exception, method: str, call: logs.Call) -> str:
        if isinstance(error, DeadlineExceeded):
            return message_of(f"{error} (it was at: {call.step})")
        if isinstance(error, DriverError):
            return explain(error)
        if isinstance(error, NotImplementedError):
            return f"{method} is not offered by this driver"
        self._metrics.unexpected_errors.labels(method).inc()
        log.error("unexpected error", exc_info=error)
        return f"unexpected {type(error).__name__} at: {call.step}; the driver's log has its trace"

    def _record(self, method: str, call: logs.Call, code: StatusCode, message: str | None) -> None:
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


class _Unreadable:
    """What came instead of a request: gRPC itself would call it an internal error."""

    def __init__(self, why: str) -> None:
        self.why = why


def _lenient(
    deserialize: Callable[[bytes], _Request] | None,
) -> Callable[[bytes], _Request] | None:
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:  # a request, or what says why there is none
        try:
            return deserialize(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _about(request: object) -> dict[str, str]:
    values = ((label, getattr(request, name, "")) for name, label in _BOUND.items())
    return {label: value[:_BOUND_LENGTH] for label, value in values if value}
