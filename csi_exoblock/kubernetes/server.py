"""The Kubernetes API server: one authorized request, its answer as JSON or as an error."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from csi_exoblock import __version__
from csi_exoblock.concurrency import Deadline
from csi_exoblock.config import KubernetesSettings, Timing
from csi_exoblock.errors import (
    KubernetesConflict,
    KubernetesDenied,
    KubernetesExpired,
    KubernetesUnavailable,
    NotFound,
)
from csi_exoblock.kubernetes.connection import Answer, Request, exchange
from csi_exoblock.kubernetes.objects import Json, message_of

log = logging.getLogger(__name__)

# A page of a list, whose objects have some KiB each; etcd stores none above 1.5 MiB.
_ANSWER_BYTES = 16 * 1024 * 1024
_TOKEN_BYTES = 64 * 1024
_SHOWN = 300

_JSON_PATCH = "application/json-patch+json"


class ApiServer:
    """The server of the cluster in whose pod this process runs.

    Token and certificates are read again for each request: kubelet renews them as they get old.
    What the server refuses for want of rights is logged once a minute for each path.
    No proxy is ever asked.
    """

    def __init__(self, settings: KubernetesSettings, *, timing: Timing) -> None:
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
            KubernetesUnavailable: There was no answer, or none that makes sense.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        return self._ask("GET", path, target, b"", deadline)

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Change the object at a path by a JSON patch, and return it.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The service account may not change it.
            KubernetesConflict: It is not as the patch expects.
            KubernetesUnavailable: There was no answer, perhaps after the change.
        """
        return self._ask("PATCH", path, path, json.dumps(changes).encode(), deadline)

    def _ask(self, method: str, path: str, target: str, body: bytes, deadline: Deadline) -> Json:
        deadline = deadline.within(self._timing.kubernetes_timeout)
        what = f"Kubernetes, {method} {path}"
        try:
            answer = exchange(
                self._settings.host,
                self._settings.port,
                Request(method=method, target=target, headers=self._headers(body), body=body),
                context=self._context(),
                deadline=deadline,
                most_bytes=_ANSWER_BYTES,
            )
        except OSError as error:
            raise KubernetesUnavailable(f"{what}: {error}") from error
        return self._read(answer, what)

    def _headers(self, body: bytes) -> Mapping[str, str]:
        with (self._settings.service_account_path / "token").open("rb") as file:
            token = file.read(_TOKEN_BYTES).decode("ascii", errors="replace").strip()
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token}",
            "User-Agent": f"csi-exoblock/{__version__}",
        }
        return {**headers, "Content-Type": _JSON_PATCH} if body else headers

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._settings.service_account_path / "ca.crt")
        return context

    def _read(self, answer: Answer, what: str) -> Json:
        found = _object(answer.body)
        if answer.status == HTTPStatus.OK and found is not None:
            return found
        said = message_of(found or {})[:_SHOWN] or "no word why"
        error = f"{what}: status {answer.status}: {said}"
        match answer.status:
            case HTTPStatus.NOT_FOUND:  # plain text where the whole kind is unknown
                raise NotFound(error)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                self._complain(what, error)
                raise KubernetesDenied(error)
            case HTTPStatus.GONE:
                raise KubernetesExpired(error)
            case HTTPStatus.CONFLICT | HTTPStatus.UNPROCESSABLE_ENTITY:
                raise KubernetesConflict(error)
            case HTTPStatus.OK:
                raise KubernetesUnavailable(f"{what}: the answer is no JSON object")
        raise KubernetesUnavailable(error)

    def _complain(self, what: str, error: str) -> None:
        """Log that something is refused, unless it was said a moment ago."""
        now = time.monotonic()
        with self._lock:
            last = self._complained.get(what)
            if last is not None and now - last < self._timing.kubernetes_complaint:
                return
            self._complained[what] = now
        log.error("Kubernetes refuses what the driver needs", extra={"error": error})


def _object(body: bytes) -> Json | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
