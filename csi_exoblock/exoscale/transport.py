"""Requests to the cloud's API over HTTP: signed, pooled, timed, and their failures named.

The only module that knows requests. Reads are repeated here; a write never is, for only its caller
can tell whether it took effect.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions
from exoscale_auth import ExoscaleV2Auth

from csi_exoblock.concurrency import Deadline, pauses
from csi_exoblock.config import Timing
from csi_exoblock.errors import ApiDenied, ApiRejected, ApiUnavailable, DriverError, NotFound
from csi_exoblock.metrics import Metrics

log = logging.getLogger(__name__)

_CONNECTIONS = 64  # kept open to each zone; a larger burst opens and closes its own
_BACKOFF = 2.0
_DETAIL_LENGTH = 300  # an error page of a proxy is longer than what a user reads

# Failures after which the request surely never reached the API.
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.SSLError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask of a zone.

    Attributes:
        operation: Id of the API operation, for metrics and messages.
        subject: What it is about, for messages, such as `volume ch-gva-2/6f…`.
    """

    operation: str
    method: str
    url: str
    zone: str
    subject: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None


class Transport:
    """Sends requests over kept-alive connections that all threads share."""

    def __init__(
        self, *, key: str, secret: str, user_agent: str, timing: Timing, metrics: Metrics
    ) -> None:
        self._timing = timing
        self._metrics = metrics
        self._auth = ExoscaleV2Auth(key, secret)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = user_agent
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def send(self, request: Request, deadline: Deadline) -> Any:
        """Send the request and return the answer's JSON; a GET is repeated until the deadline.

        A write that has begun is waited for up to `Timing.api_timeout`, whatever the deadline: to
        give up earlier would only lose the answer.

        Raises:
            NotFound: The subject does not exist.
            ApiDenied: The API refused the key or its role.
            ApiRejected: The API refused the request.
            ApiUnavailable: No readable answer came, or one that says "later".
        """
        if request.method != "GET":
            deadline.check()
            return self._exchange(request, self._timing.api_timeout)
        for pause in pauses(
            self._timing.api_retry_initial, self._timing.api_retry_max, growth=_BACKOFF
        ):
            try:
                return self._exchange(request, min(self._timing.api_timeout, deadline.check()))
            except ApiUnavailable as error:
                seconds = max(pause, error.retry_after_seconds)
                if seconds >= deadline.remaining():
                    raise
                log.debug("read is repeated", extra={"pause": seconds, "error": str(error)})
                deadline.wait(seconds)
        raise AssertionError("pauses never end")

    def _exchange(self, request: Request, timeout_seconds: float) -> Any:
        began = time.monotonic()
        status = "none"
        with self._metrics.api_requests_in_flight.labels(request.zone).track_inprogress():
            try:
                response = self._session.request(
                    request.method,
                    request.url,
                    params=request.query or None,
                    json=request.body,
                    auth=self._auth,
                    timeout=timeout_seconds,
                    allow_redirects=False,
                )
                status = str(response.status_code)
            except requests.RequestException as error:
                raise _not_answered(request, error) from error
            finally:
                self._metrics.api_request_seconds.labels(
                    request.operation, request.zone, status
                ).observe(time.monotonic() - began)
        return _answer(request, response)


def _not_answered(request: Request, error: requests.RequestException) -> ApiUnavailable:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    sent = not isinstance(reason, _NEVER_SENT)
    return ApiUnavailable(
        f"{request.operation} in zone {request.zone}: no answer: {_shorten(str(error))}",
        may_have_effect=sent,
    )


def _answer(request: Request, response: requests.Response) -> Any:
    if not response.ok or response.is_redirect:
        raise _refusal(request, response)
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise ApiUnavailable(
            f"{request.operation} in zone {request.zone}: the answer is no JSON"
        ) from error


def _refusal(request: Request, response: requests.Response) -> DriverError:
    status = response.status_code
    text = f"{request.operation} in zone {request.zone}: HTTP {status}: {_detail(response)}"
    if status in (404, 410):
        return NotFound(f"{request.subject} does not exist ({text})")
    if status in (401, 403):
        return ApiDenied(f"{text}; check the API key and its role")
    if 400 <= status < 500 and status not in (408, 429):
        return ApiRejected(text, http_status=status)
    return ApiUnavailable(
        text,
        may_have_effect=status != 429,
        retry_after_seconds=_retry_after_seconds(response),
    )


def _retry_after_seconds(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _detail(response: requests.Response) -> str:
    """Return the API's own words: `message`, `error`, or RFC 9457 `title` and `detail`."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return _shorten(response.text) or response.reason
    if not isinstance(body, dict):
        return _shorten(response.text)
    words = [body.get(key) for key in ("title", "message", "error", "detail")]
    for error in body.get("errors") or ():
        words += [error.get("location"), error.get("detail")] if isinstance(error, dict) else []
    return _shorten(", ".join(str(word) for word in words if word)) or response.reason


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_LENGTH else line[: _DETAIL_LENGTH - 3] + "..."
