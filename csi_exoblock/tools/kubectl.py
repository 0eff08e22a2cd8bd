"""Kubernetes through `kubectl proxy`, so that every kind of kubeconfig and login works."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import KubernetesDenied, KubernetesUnavailable
from csi_exoblock.kubernetes.answers import (
    ANSWER_BYTES,
    error_of,
    object_in,
    text_in,
    with_query,
)
from csi_exoblock.kubernetes.connection import Request, exchange, over_path
from csi_exoblock.kubernetes.fields import Json, parse_object, text
from csi_exoblock.timing import Timing

# kubectl ends with its input, and so with this process, even one that is killed: nobody else should
# get the rights of the user. Ctrl-C, which the terminal sends to all, ends only this process.
_SCRIPT = """
trap '' INT HUP
kubectl "$@" --unix-socket="$0" 2>"$0.errors" &
server=$!
exec >/dev/null 2>&1
read -r _
kill "$server"
rm -r "${0%/*}"
"""
_SOCKET = "kubectl"
_SHOWN = 300


class Kubectl:
    """Reads objects from the API server with the user's own rights. Changes nothing.

    One kubectl answers all requests of a command: it logs in once and keeps its connection, where a
    kubectl for each request would take a second or two for some logins. It listens in a folder that
    only this user can enter.
    """

    def __init__(self, *, kubeconfig: Path | None, context: str, timing: Timing) -> None:
        self._flags = [
            *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []),
            *([f"--context={context}"] if context else []),
        ]
        self._timing = timing
        self._running: subprocess.Popen[bytes] | None = None
        self._socket = Path()

    @staticmethod
    def is_installed() -> bool:
        """Return whether there is a kubectl."""
        return shutil.which("kubectl") is not None

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The user may not read it, or is not known.
            KubernetesExpired: The list can't be continued; it must begin again.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        return object_in(self._send("GET", path, query, b"", deadline), _named(path))

    def get_text(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> str:
        """Return the text at a path, such as a container's log; raises as `get`."""
        return text_in(self._send("GET", path, query, b"", deadline))

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send a review, which is answered and not kept, and return the answer; raises as `get`."""
        body = json.dumps(content).encode()
        return object_in(self._send("POST", path, None, body, deadline), _named(path))

    def patch(self, path: str, changes: object, deadline: Deadline) -> Json:
        """Refuse: these commands change nothing.

        Raises:
            KubernetesDenied: Always.
        """
        raise KubernetesDenied(f"{path} is not changed through kubectl")

    def close(self) -> None:
        """End kubectl, if it runs."""
        if self._running is not None and self._running.stdin and self._running.stdout:
            self._running.stdin.close()
            self._running.stdout.close()
            self._running.wait(self._timing.kubectl_timeout)
            self._running = None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes,
        deadline: Deadline,
    ) -> bytes:
        deadline = deadline.within(self._timing.kubectl_timeout)
        headers = {"Accept": "application/json, */*"}
        try:
            self._start(deadline)
            answer = exchange(
                over_path(self._socket),
                Request(
                    method=method,
                    target=with_query(path, query),
                    headers={**headers, "Content-Type": "application/json"} if body else headers,
                    body=body,
                ),
                host="localhost",
                port=80,
                deadline=deadline,
                most_bytes=ANSWER_BYTES,
            )
        except OSError as error:
            raise KubernetesUnavailable(f"{_named(path)}: {error!s:.{_SHOWN}}") from error
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED):
            return answer.body
        # A Status object of the API server; or plain text of kubectl, if there was no answer.
        status = parse_object(answer.body)
        said = text(status, "message") if status else text_in(answer.body)
        raise error_of(answer.status, _named(path), " ".join(said.split()))

    def _start(self, deadline: Deadline) -> None:
        """Start kubectl unless it runs, and wait until it listens.

        Raises:
            OSError: It does not start.
        """
        if self._running is not None:
            return
        self._socket = Path(tempfile.mkdtemp(prefix="csi-exoblock-")) / _SOCKET
        self._running = subprocess.Popen(
            ("/bin/sh", "-c", _SCRIPT, str(self._socket), *self._flags, "proxy"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._running.stdout  # noqa: S101 - it is a pipe
        output = self._running.stdout.fileno()
        ready, _, _ = select.select([output], [], [], deadline.check())
        if not ready:
            self.close()
            raise TimeoutError("kubectl proxy did not begin to serve in time")
        if not os.read(output, _SHOWN):  # it has ended; else it has said where it listens
            said = Path(f"{self._socket}.errors").read_text(errors="replace")
            self.close()
            raise OSError(" ".join(said.split()) or "kubectl proxy ended without a message")


def _named(path: str) -> str:
    return f"kubectl, {path}"
