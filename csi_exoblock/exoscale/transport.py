"""Requests to the cloud's API over HTTP: paced, signed, timed, and their failures translated.

Reads that fail are repeated here. A write that fails is not, because only its caller can find out
whether it took effect. But a request that the API refused unread is sent again when the pace
allows: after a refused key if there is another key, and after too many requests. A write that rests
on a read is sent only while that read is fresh, because the cloud has no conditional writes.
"""

from __future__ import annotations

import json
import logging
import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import requests
import urllib3
import urllib3.exceptions
from exoscale_auth import ExoscaleV2Auth

from csi_exoblock import calls
from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.credentials import Credentials
from csi_exoblock.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    DeadlineExceeded,
    DriverError,
    NotFound,
    ReadAgain,
    UnprovenAbsence,
)
from csi_exoblock.exoscale import wire
from csi_exoblock.exoscale.answers import Answer, read_answer
from csi_exoblock.exoscale.clock import CloudClock
from csi_exoblock.exoscale.keyring import Keyring
from csi_exoblock.exoscale.pace import Pace, Paces, Turn
from csi_exoblock.exoscale.session import Proxy
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import CloudTiming

T = TypeVar("T")

log = logging.getLogger(__name__)

_DENIED = (401, 403)
_PUBLIC = ("list-zones",)  # answered with any signature, so an answer proves no key
_BACKOFF = 2.0
# The part of a list's time in which its first answer must come: in one zone of the real cloud every
# third or fourth list hung for a while.
_FIRST_TRY = 1 / 3
_CAUSE_LENGTH = 200
_MOST_BYTES = 1024**2  # of an answer about one resource; a volume with 20 snapshots takes 5,000

# Failures after which the request certainly never reached the API. Not every SSLError is: one also
# comes when TLS breaks during the wait for the answer. Nor is every ProxyError: urllib3 makes one
# of any error of a connection that forgot its tunnel when it broke.
_NEVER_SENT = (
    urllib3.exceptions.ConnectTimeoutError,  # its subclasses: refused, no route, name or tunnel
    ssl.SSLCertVerificationError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to a zone's API.

    Attributes:
        operation: Id of the API operation, for metrics and messages.
        subject: The resource that the request is about, for messages: `volume ch-gva-2/6f…`.
        names_resource: Whether the request names a resource, which a 404 then says is absent.
        rests_on_read: Whether it may be sent only just after a read. That read counts as ended when
            the request is handed to `Transport.send`.
        most_bytes: The largest answer that is accepted, in bytes after unpacking (F18).
    """

    operation: str
    method: str
    url: str
    zone: str
    subject: str
    names_resource: bool = True
    rests_on_read: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    most_bytes: int = _MOST_BYTES

    def __str__(self) -> str:
        return f"{self.operation} for {self.subject}"


class Transport:
    """Sends requests over kept-alive connections, which all threads share."""

    def __init__(
        self,
        *,
        session: requests.Session,
        keyring: Keyring,
        proxy: Proxy,
        paces: Paces,
        timing: CloudTiming,
        metrics: Metrics,
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._proxy = proxy
        self._paces = paces
        self._timing = timing
        self._metrics = metrics
        self._clock = CloudClock()

    def send(self, request: Request, read: Callable[[object], T], deadline: Deadline) -> T:
        """Send the request and return what `read` makes of the answer's JSON.

        The request is sent when the zone's pace allows, and again if the zone then refuses it
        unread. A GET is repeated until the deadline while the API is unavailable. The answer to a
        write is awaited for up to `Timing.api_timeout`, even beyond the deadline: to give up
        earlier would only lose the answer.

        Raises:
            NotFound: The subject does not exist.
            ApiDenied: The API refused the key or its role.
            ApiRejected: The API refused the request.
            ApiUnavailable: No readable answer came, or one that asks to come back later.
            UnprovenAbsence: A 404 came, but not from the API itself.
            ReadAgain: It rests on a read, and could not be sent within `Timing.read_holds`.
            DeadlineExceeded: There was no time to send the request, so it had no effect.
        """
        if request.method != "GET":
            return self._exchange(request, read, deadline)
        return self._send_again_and_again(request, read, deadline, math.inf)

    def send_list(self, request: Request, read: Callable[[object], T], deadline: Deadline) -> T:
        """Send a GET that many callers wait for as `send` does, but soon again if it hangs."""
        first_seconds = self._timing.api_timeout * _FIRST_TRY
        return self._send_again_and_again(request, read, deadline, first_seconds)

    def _send_again_and_again(
        self,
        request: Request,
        read: Callable[[object], T],
        deadline: Deadline,
        longest_seconds: float,
    ) -> T:
        """Send a GET until it is answered.

        Args:
            longest_seconds: How long the first answer is awaited at most.
        """
        for pause in pauses(
            self._timing.api_retry_initial, self._timing.api_retry_max, growth=_BACKOFF
        ):
            try:
                return self._exchange(request, read, deadline, longest_seconds)
            except UnprovenAbsence:
                raise
            except ApiUnavailable as error:
                seconds = max(pause, error.retry_after_seconds)
                if seconds >= deadline.remaining():
                    raise
                log.debug(
                    "read failed and will be retried", extra={"pause": seconds, "error": str(error)}
                )
                deadline.wait(seconds)
            longest_seconds = math.inf
        raise AssertionError("pauses never end")

    def send_once(self, request: Request, read: Callable[[object], T], deadline: Deadline) -> T:
        """Send a read as `send` does, but do not repeat it if it fails."""
        return self._exchange(request, read, deadline)

    def seconds_between(self, zone: str) -> float:
        """Return the seconds between two requests to a zone, 0.0 while no limit is known."""
        return self._paces.of(zone).seconds_between()

    def now(self) -> float:
        """Return the cloud's time in seconds of Unix time."""
        return self._clock.now()

    @property
    def has_time(self) -> bool:
        """Whether the cloud has told its time."""
        return self._clock.is_set

    def close(self) -> None:
        """Close the connections that no request is using."""
        self._session.close()

    def _exchange(
        self,
        request: Request,
        read: Callable[[object], T],
        deadline: Deadline,
        longest_seconds: float = math.inf,
    ) -> T:
        answer = self._paced(request, deadline, longest_seconds)
        if not 200 <= answer.status < 300:
            raise self._refusal(request, answer)
        try:
            return read(json.loads(answer.body))
        except wire.UNREADABLE as error:
            cause = wire.shorten(f"{type(error).__name__}: {error}", _CAUSE_LENGTH)
            raise ApiUnavailable(f"{request}: the answer can't be understood: {cause}") from error

    def _paced(self, request: Request, deadline: Deadline, longest_seconds: float) -> Answer:
        """Send the request when its turn comes, and again while the API refuses it unread.

        That is after a 429 (S20), and after a refused key if there is another key to try (F1).
        """
        pace, call = self._paces.of(request.zone), calls.current()
        # A list or a poll belongs to no call, as many wait for it: it is a kind of its own.
        work = call.name if call else request.operation
        read_at = time.monotonic() if request.rests_on_read else None
        refusal: DriverError | None = None
        denied: list[Credentials] = []
        while True:
            try:
                with pace.turn(work, deadline, read_at=read_at) as turn:
                    if turn.held_back:
                        self._metrics.api_throttled.labels(request.operation, "client").inc()
                    credentials = self._keyring.current(denied)
                    seconds = min(self._timeout(request, deadline), longest_seconds)
                    answer = self._measured(request, credentials, seconds)
                    self._tell(pace, turn, request, answer)
            except ReadAgain as error:
                raise ReadAgain(f"{refusal or request}: {error}") from error
            except DeadlineExceeded as error:
                raise refusal or error from error
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                refusal = self._refusal(request, answer)
            elif answer.status not in _DENIED:
                if _proves_key(request, answer):
                    self._keyring.accepted(credentials, denied)
                return answer
            else:
                denied.append(credentials)
                if not self._keyring.has_another_than(denied, deadline):
                    return answer
                log.info(
                    "key refused, retrying with another key", extra={"operation": request.operation}
                )

    def _tell(self, pace: Pace, turn: Turn, request: Request, answer: Answer) -> None:
        """Report to the pace whether the zone accepted a request, and any pause it asks for."""
        if seconds := self._seconds_to_wait(answer):
            pace.close(seconds)  # first, because the next calls can let other requests go
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._metrics.api_throttled.labels(request.operation, "server").inc()
            pace.refused(turn)
        else:
            pace.taken()

    def _seconds_to_wait(self, answer: Answer) -> float:
        crowded = answer.status == HTTPStatus.TOO_MANY_REQUESTS
        longest = self._timing.pace_closed_max if crowded else self._timing.pace_closed_broken
        return min(answer.seconds_to_wait(), longest)

    def _timeout(self, request: Request, deadline: Deadline) -> float:
        longest = self._timing.api_timeout
        return min(longest, deadline.check()) if request.method == "GET" else longest

    def _measured(
        self, request: Request, credentials: Credentials, timeout_seconds: float
    ) -> Answer:
        began, status, is_up = time.monotonic(), "none", False
        with self._metrics.api_requests_in_flight.labels(request.zone).track_inprogress():
            try:
                answer = self._ask(request, credentials, timeout_seconds)
                status = str(answer.status)
                is_up = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
            except (OSError, urllib3.exceptions.HTTPError) as error:
                raise _not_answered(request, error) from error
            finally:
                self._metrics.api_up.labels(request.zone).set(is_up)
                self._metrics.api_request_seconds.labels(
                    request.operation, request.zone, status
                ).observe(time.monotonic() - began)
        return answer

    def _ask(self, request: Request, credentials: Credentials, timeout_seconds: float) -> Answer:
        with self._session.request(
            request.method,
            request.url,
            params=request.query or None,
            json=request.body,
            auth=ExoscaleV2Auth(credentials.key, credentials.secret),
            proxies=self._proxy.of(request.url),
            timeout=urllib3.Timeout(  # type: ignore[arg-type] # stubs lack it
                connect=timeout_seconds, total=timeout_seconds
            ),
            allow_redirects=False,
            stream=True,
        ) as response:
            self._clock.note(response.headers.get("Date", ""))
            return read_answer(response, most_bytes=request.most_bytes)

    def _refusal(self, request: Request, answer: Answer) -> DriverError:
        why = wire.refusal(answer.body) or _phrase(answer.status)
        text = f"{request}: HTTP {answer.status}: {why}"
        match answer.status:
            case 404 | 410:
                if wire.is_refusal(answer.body):
                    return NotFound(_absence(request, answer.status, why))
                return UnprovenAbsence(f"{text}; that is no answer of the API itself")
            case 429:
                return ApiUnavailable(
                    text, may_have_effect=False, retry_after_seconds=self._seconds_to_wait(answer)
                )
            case status if 400 <= status < 500 and _can_have_made_something(request, answer):
                return ApiUnavailable(f"{text}; that is no answer of the API itself")
            case 401 | 403:
                return ApiDenied(f"{text}; {self._what_to_check(answer)}")
            case status if 400 <= status < 500 and status != 408:
                return ApiRejected(text, http_status=status)
        return ApiUnavailable(text, retry_after_seconds=self._seconds_to_wait(answer))

    def _what_to_check(self, answer: Answer) -> str:
        """Return what the user should check after a status that has many meanings (F1)."""
        seconds = answer.clock_error_seconds()
        if abs(seconds) > self._timing.clock_error:
            which = "ahead of" if seconds > 0 else "behind"
            return (
                f"this host's clock is {abs(seconds):.0f} s {which} the API's, which makes "
                "signatures invalid: set the clock"
            )
        return "check the API key, its role, and whether the resource is locked"


def _proves_key(request: Request, answer: Answer) -> bool:
    """Return whether an answer is the API's own, to a request whose signature it has checked.

    A gateway, or an API that fails, answers without a check. If that counted, a key that is wrong
    would take the place of the last one that works (F1).
    """
    if request.operation in _PUBLIC:
        return False
    if 200 <= answer.status < 300:
        return not answer.body.lstrip().startswith(b"<")  # a page, such as one for maintenance
    return 400 <= answer.status < 500 and wire.is_refusal(answer.body)


def _can_have_made_something(request: Request, answer: Answer) -> bool:
    """Return whether a refusal is that of a creation, and not the API's own.

    A gateway can refuse to pass on an answer. Other writes leave nothing behind that the read of
    their resource does not show (C1).
    """
    return request.method == "POST" and not wire.is_refusal(answer.body)


def _absence(request: Request, status: int, why: str) -> str:
    if request.names_resource:
        return f"{request.subject} does not exist ({request}: HTTP {status}: {why})"
    return f"the API answered {status} to {request.operation} in zone {request.zone}: {why}"


def _not_answered(request: Request, error: Exception) -> ApiUnavailable:
    causes = list(_causes(error))
    never_sent = any(isinstance(each, _NEVER_SENT) for each in causes)
    what = "no connection" if never_sent else "no answer"
    return ApiUnavailable(
        f"{request}: {what}: {wire.shorten(str(causes[-1]), _CAUSE_LENGTH)}",
        may_have_effect=not never_sent,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the errors that it wraps, outermost first.

    They are found by argument and `raise … from`, never by `__context__`, which can lead to an
    error of another request.
    """
    while error is not None:
        yield error
        inner = (each for each in error.args if isinstance(each, BaseException))
        error = next(inner, error.__cause__)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"
