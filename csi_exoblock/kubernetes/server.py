"""The Kubernetes API server: sends one authorized request, and returns JSON or raises an error."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus

from csi_exoblock import __version__
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import KubernetesSettings
from csi_exoblock.errors import KubernetesDenied, KubernetesUnavailable
from csi_exoblock.kubernetes.answers import (
    ANSWER_BYTES,
    error_of,
    object_in,
    text_in,
    with_query,
)
from csi_exoblock.kubernetes.connection import Answer, Request, exchange, over_tls
from csi_exoblock.kubernetes.fields import Json, parse_object, text
from csi_exoblock.timing import KubernetesTiming

log = logging.getLogger(__name__)

_TOKEN_BYTES = 64 * 1024

_CONTENT_TYPES = {"POST": "application/json", "PATCH": "application/json-patch+json"}


class ApiServer:
    """The API server of the cluster in whose pod this process runs.

    Token and certificates are read again for each request, because kubelet renews them. A request
    refused for missing rights is logged at most once a minute. Proxies are not used.
    """

    def __init__(self, settings: KubernetesSettings, *, timing: KubernetesTiming) -> None:
        self._settings = settings
        self._timing = timing
        self._lock = threading.Lock()
        self._complained: dict[str, float] = {}

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The service account may not read it.
            KubernetesExpired: The list can't be continued; it must begin again.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        return self._ask("GET", path, with_query(path, query), b"", deadline)

    def get_text(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> str:
        """Return the text at a path, such as a container's log; raises as `get`."""
        request = f"Kubernetes, GET {path}"
        return text_in(self._send("GET", request, with_query(path, query), b"", deadline))

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send an object to the list at a path, and return the answer.

        Raises:
            KubernetesDenied: The service account may not create such an object.
            KubernetesConflict: An object of that name exists, or this one is not valid.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        return self._ask("POST", path, path, json.dumps(content).encode(), deadline)

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Change the object at a path by a JSON patch, and return it.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The service account may not change it.
            KubernetesConflict: The object is not as the patch expects.
            KubernetesUnavailable: There was no answer; the object might have been changed.
        """
        return self._ask("PATCH", path, path, json.dumps(changes).encode(), deadline)

    def _ask(self, method: str, path: str, target: str, body: bytes, deadline: Deadline) -> Json:
        request = f"Kubernetes, {method} {path}"
        return object_in(self._send(method, request, target, body, deadline), request)

    def _send(
        self, method: str, request: str, target: str, body: bytes, deadline: Deadline
    ) -> bytes:
        """Return the body of a successful answer.

        Args:
            request: The request, for the message.
        """
        host, port = self._settings.host, self._settings.port
        try:
            answer = exchange(
                over_tls(host, port, self._context()),
                Request(
                    method=method, target=target, headers=self._headers(method, body), body=body
                ),
                host=host,
                port=port,
                deadline=deadline.within(self._timing.kubernetes_timeout),
                most_bytes=ANSWER_BYTES,
            )
        except OSError as error:
            raise KubernetesUnavailable(f"{request}: {error}") from error
        return self._read(answer, request)

    def _headers(self, method: str, body: bytes) -> Mapping[str, str]:
        with (self._settings.service_account_path / "token").open("rb") as file:
            token = file.read(_TOKEN_BYTES).decode("ascii", errors="replace").strip()
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"csi-exoblock/{__version__}",
        }
        return {**headers, "Content-Type": _CONTENT_TYPES[method]} if body else headers

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._settings.service_account_path / "ca.crt")
        return context

    def _read(self, answer: Answer, request: str) -> bytes:
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED):
            return answer.body
        # A Status object, or plain text if the server does not know the kind of object at all.
        message = text(parse_object(answer.body) or {}, "message")
        error = error_of(answer.status, f"{request}: status {answer.status}", message)
        if isinstance(error, KubernetesDenied):
            self._complain(request, str(error))
        raise error

    def _complain(self, request: str, error: str) -> None:
        """Log that the server refuses a request, unless that was logged a moment ago."""
        now = time.monotonic()
        with self._lock:
            last = self._complained.get(request)
            if last is not None and now - last < self._timing.kubernetes_complaint:
                return
            self._complained[request] = now
        log.error("Kubernetes denies a right that the driver needs", extra={"error": error})
