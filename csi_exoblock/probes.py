"""The HTTP endpoint: /livez, /readyz and /metrics (N14, F7)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from csi_exoblock.config import Timing
from csi_exoblock.metrics import Metrics

log = logging.getLogger(__name__)

_MISSES = 3
"""So many in a row, and the process counts as stuck."""

_PLAIN = "text/plain; charset=utf-8"


class Liveness:
    """Asks again and again whether the process still answers, so that /livez need not wait.

    Args:
        probe: Tells whether the driver answered; takes at most `Timing.livez_timeout`.
    """

    def __init__(self, *, probe: Callable[[], bool], timing: Timing) -> None:
        self._probe = probe
        self._timing = timing
        self._stopped = threading.Event()
        self._misses = 0

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="livez", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def is_alive(self) -> bool:
        """Tell whether one of the last three answers came."""
        return self._misses < _MISSES

    def _run(self) -> None:
        while not self._stopped.wait(self._timing.livez_interval):
            self._misses = 0 if self._probe() else self._misses + 1
            if self._misses:
                log.warning("the driver did not answer itself", extra={"misses": self._misses})


class Probes:
    """Serves kubelet's probes and Prometheus.

    Args:
        address: Host and port; an empty host means every address of this machine.
    """

    def __init__(
        self,
        *,
        address: tuple[str, int],
        liveness: Liveness,
        ready: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        def answer(path: str) -> tuple[HTTPStatus, str, bytes]:
            if path == "/livez":
                return _health(liveness.is_alive())
            if path == "/readyz":
                return _health(ready())
            if path == "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)
            return HTTPStatus.NOT_FOUND, _PLAIN, b"there is /livez, /readyz and /metrics\n"

        self._address = address
        self._liveness = liveness
        self._handler = _handler(answer)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address can't be had.
        """
        server = ThreadingHTTPServer(self._address, self._handler, bind_and_activate=False)
        server.socket.close()
        server.socket = _listening(self._address)
        self._server = server
        self._liveness.start()
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
        log.info("serving probes", extra={"address": str(server.socket.getsockname()[:2])})

    def stop(self) -> None:
        """Answer no more."""
        self._liveness.stop()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _health(well: bool) -> tuple[HTTPStatus, str, bytes]:
    if well:
        return HTTPStatus.OK, _PLAIN, b"ok\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not yet, or no longer\n"


def _listening(address: tuple[str, int]) -> socket.socket:
    host, _ = address
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(address, family=family)


def _handler(
    answer: Callable[[str], tuple[HTTPStatus, str, bytes]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: kubelet asks every few seconds."""

    return Handler
