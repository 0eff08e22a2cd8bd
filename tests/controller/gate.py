"""A way to the cloud that holds up a request for as long as a test wants.

with Gate(cloud) as gate, ThreadPoolExecutor(1) as thread:
    held = gate.hold("DELETE")
    answer = thread.submit(controller.DeleteVolume, request)  # of a driver behind the gate
    with held:
        ...  # the driver has read, and its write has no effect yet
    answer.result()
"""

from __future__ import annotations

import threading
from types import TracebackType

import requests

from tests.support.played_server import PlayedHandler, PlayedServer
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import WAIT_SECONDS

_OF_THE_CONNECTION = {"connection", "content-length", "content-encoding", "transfer-encoding"}


class Held:
    """A request that is held up: its context begins when it has come, and lets it go at the end."""

    def __init__(self, method: str, part: str, number: int) -> None:
        self._method, self._part, self._left = method, part, number
        self._lock = threading.Lock()
        self._has_come, self._go_on = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        assert self._has_come.wait(WAIT_SECONDS), f"no {self._method} {self._part} came"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Let the request pass, now or when it comes."""
        self._go_on.set()

    def wait_if_meant(self, method: str, path: str) -> None:
        """Hold up a request if it is the one."""
        with self._lock:
            self._left -= method == self._method and self._part in path
            is_meant = self._left == 0 and not self._has_come.is_set()
            if is_meant:
                self._has_come.set()
        if is_meant:
            self._go_on.wait()


class Gate(PlayedServer):
    """A server that passes requests on to the cloud, and its answers back."""

    def __init__(self, cloud: SimulatorProcess) -> None:
        super().__init__(_Handler)
        self.cloud_url = cloud.base_url
        self.held: Held | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.held:
            self.held.let_go()
        super().__exit__(kind, error, trace)

    @property
    def api_endpoint(self) -> str:
        """The driver's `--api-endpoint`."""
        return f"http://{self.host}:{self.port}/{{zone}}/v2"

    def hold(self, method: str, part: str = "", *, number: int = 1) -> Held:
        """Hold up a request before the cloud sees it.

        Args:
            part: What is in its path.
            number: Which of those that come from now on, counted from 1.
        """
        self.held = Held(method, part, number)
        return self.held


class _Handler(PlayedHandler[Gate]):
    def _pass_on(self) -> None:
        body = self.body()
        if self.owner.held:
            self.owner.held.wait_if_meant(self.command, self.path)
        answer = requests.request(
            self.command,
            self.owner.cloud_url + self.path,
            data=body,
            headers=dict(self.headers),
            timeout=WAIT_SECONDS,
            allow_redirects=False,
        )
        self.send_response_only(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on
