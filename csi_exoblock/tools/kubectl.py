"""Kubernetes through `kubectl proxy`, so that every kind of kubeconfig and login works."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import (
    KubernetesDenied,
    KubernetesError,
    KubernetesUnavailable,
    NotFound,
)
from csi_exoblock.kubernetes.answers import (
    ANSWER_BYTES,
    error_of,
    object_in,
    text_in,
    with_query,
)
from csi_exoblock.kubernetes.connection import Request, exchange, over_path
from csi_exoblock.kubernetes.fields import Json, objects, parse_object, text
from csi_exoblock.timing import Timing

DEFAULT_NAMESPACE = "default"
"""Where kubectl puts what names no namespace, unless its context has one."""

# kubectl ends with its input, and so with this process, even one that is killed: nobody else should
# get the rights of the user. Ctrl-C, which the terminal sends to all, ends only this process.
# At a terminal a login can ask its user something: it sees what kubectl says, and types the answer.
_SCRIPT = """
trap '' INT HUP
where=$1
shift
if [ "$where" = terminal ]
then
    mkfifo "$0.said"
    tee "$0.errors" <"$0.said" >&2 &
    kubectl "$@" --unix-socket="$0" </dev/tty 2>"$0.said" &
else
    kubectl "$@" --unix-socket="$0" 2>"$0.errors" &
fi
server=$!
exec >/dev/null 2>&1
read -r _
kill "$server"
rm -r "${0%/*}"
"""
_SOCKET = "kubectl"
_VERSION = "/version"
_SHOWN = 300
# What kubectl logs of each request that fails, which its answer says as well.
_LOG_LINE = re.compile(r"^[IWEF][0-9]{4} .*$", re.MULTILINE)


class Kubectl:
    """Reads objects from the API server with the user's own rights. Changes nothing.

    One kubectl answers all requests of a command: it logs in once and keeps its connection, where a
    kubectl for each request would take a second or two for some logins. It listens in a folder that
    only this user can enter.

    A kubectl that has failed to log in would try again with each request, and ask its user each
    time. So the first request is one for the login alone. If it fails, kubectl is asked for nothing
    else: every request raises that error.
    """

    def __init__(self, *, kubeconfig: Path | None, context: str, timing: Timing) -> None:
        self.flags = (
            *([f"--kubeconfig={kubeconfig.absolute()}"] if kubeconfig else ()),
            *([f"--context={context}"] if context else ()),
        )
        self._context = context
        self._timing = timing
        self._running: subprocess.Popen[bytes] | None = None
        self._socket = Path()
        self._is_at_terminal = _is_at_terminal()
        self._has_logged_in = False
        self._no_login: KubernetesUnavailable | None = None
        self._said_before = 0

    @staticmethod
    def is_installed() -> bool:
        """Return whether there is a kubectl."""
        return shutil.which("kubectl") is not None

    def namespace(self, deadline: Deadline) -> str:
        """Return the namespace of the context: where kubectl puts what names no namespace.

        Raises:
            KubernetesUnavailable: The kubeconfig can't be read, or has no such context.
        """
        found = self._config(deadline)
        context = self._context or text(found, "current-context")
        for each in objects(found, "contexts"):
            if text(each, "name") == context:
                return text(each, "context", "namespace") or DEFAULT_NAMESPACE
        if self._context:
            raise KubernetesUnavailable(f"the kubeconfig has no context {self._context}")
        return DEFAULT_NAMESPACE

    def log_in(self) -> None:
        """Have kubectl log in, which can take minutes if it asks somebody; only the first time.

        Without a terminal there is nobody to ask.

        Raises:
            KubernetesUnavailable: It fails, or has failed before.
        """
        patience = self._timing.kubectl_timeout
        if self._is_at_terminal:
            patience = self._timing.kubectl_login
        self._log_in(Deadline(patience))

    @property
    def has_failed_to_log_in(self) -> bool:
        """Whether a login has failed, so that nothing is asked any more."""
        return self._no_login is not None

    def get(self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None) -> Json:
        """Return the object, or the page of a list, at a path.

        Raises:
            NotFound: There is none.
            KubernetesDenied: The user may not read it, or is not known.
            KubernetesExpired: The list can't be continued; it must begin again.
            KubernetesUnavailable: There was no answer, or none that can be read.
        """
        return object_in(self._send(_request("GET", path, query), deadline), _named(path))

    def get_text(
        self, path: str, deadline: Deadline, *, query: Mapping[str, str] | None = None
    ) -> str:
        """Return the text at a path, such as a container's log; raises as `get`."""
        return text_in(self._send(_request("GET", path, query), deadline))

    def create(self, path: str, content: Json, deadline: Deadline) -> Json:
        """Send a review, which is answered and not kept, and return the answer; raises as `get`."""
        request = _request("POST", path, body=json.dumps(content).encode())
        return object_in(self._send(request, deadline), _named(path))

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

    def _config(self, deadline: Deadline) -> Json:
        command = ("kubectl", *self.flags, "config", "view", "--output=json")
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=deadline.within(self._timing.kubectl_timeout).check(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KubernetesUnavailable(f"kubectl config view: {error!s:.{_SHOWN}}") from error
        found = parse_object(ended.stdout)
        if ended.returncode or found is None:
            said = " ".join(text_in(ended.stderr).split())
            raise KubernetesUnavailable(f"kubectl config view: {said:.{_SHOWN}}")
        return found

    def _log_in(self, deadline: Deadline) -> None:
        """Ask for what every user may read; raises as `log_in`."""
        if self._no_login is not None:
            raise self._no_login
        if self._has_logged_in:
            return
        try:
            self._exchange(_request("GET", _VERSION), deadline)
        except (KubernetesError, NotFound) as error:
            # Any answer of the API server, but that it does not know the user, proves the login.
            if not self._has_logged_in:
                self._no_login = KubernetesUnavailable(f"no login to the cluster: {error}")
                raise self._no_login from error

    def _send(self, request: Request, deadline: Deadline) -> bytes:
        deadline = deadline.within(self._timing.kubectl_timeout)
        self._log_in(deadline)
        return self._exchange(request, deadline)

    def _exchange(self, request: Request, deadline: Deadline) -> bytes:
        """Send a request, and note whether its answer proves that kubectl is logged in."""
        named = _named(request.target.partition("?")[0])
        self._has_logged_in = False
        self._said_before = len(self._said())
        try:
            self._start(deadline)
            answer = exchange(
                over_path(self._socket),
                request,
                host="localhost",
                port=80,
                deadline=deadline,
                most_bytes=ANSWER_BYTES,
            )
        except OSError as error:
            told = f"{error!s:.{_SHOWN}} {self._complaint()}".strip()
            raise KubernetesUnavailable(f"{named}: {told}") from error
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED):
            self._has_logged_in = True
            return answer.body
        # A Status object of the API server; or plain text of kubectl, if there was no answer.
        status = parse_object(answer.body)
        self._has_logged_in = status is not None and answer.status != HTTPStatus.UNAUTHORIZED
        said = text(status, "message") if status else f"{text_in(answer.body)} {self._complaint()}"
        raise error_of(answer.status, named, " ".join(said.split()))

    def _start(self, deadline: Deadline) -> None:
        """Start kubectl unless it runs, and wait until it listens.

        Raises:
            OSError: It does not start.
        """
        if self._running is not None:
            return
        self._socket = Path(tempfile.mkdtemp(prefix="csi-exoblock-")) / _SOCKET
        self._running = subprocess.Popen(
            (
                *("/bin/sh", "-c", _SCRIPT, str(self._socket)),
                *("terminal" if self._is_at_terminal else "", *self.flags, "proxy"),
            ),
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
            said = self._complaint()
            self.close()
            raise OSError(said or "kubectl proxy ended without a message")

    def _complaint(self) -> str:
        """Return what kubectl and its login have said beside their answer to the last request."""
        said = self._said()[self._said_before :].decode(errors="replace")
        lines = dict.fromkeys(_LOG_LINE.sub("", said).splitlines())  # kubectl tries a login twice
        return " ".join(" ".join(lines).split())[-_SHOWN:]

    def _said(self) -> bytes:
        try:
            return Path(f"{self._socket}.errors").read_bytes()
        except OSError:  # it does not run
            return b""


def _is_at_terminal() -> bool:
    """Return whether somebody can see what a login asks, and answer."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return sys.stderr.isatty()


def _request(
    method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
) -> Request:
    headers = {"Accept": "application/json, */*"}
    if body:
        headers["Content-Type"] = "application/json"
    return Request(method=method, target=with_query(path, query), headers=headers, body=body)


def _named(path: str) -> str:
    return f"kubectl, {path}"
