"""A host's addresses, found within a limit: the C library has none but resolv.conf's (S5)."""

from __future__ import annotations

import socket
import threading
from functools import partial

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.errors import DeadlineExceeded, HostError

Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


class Resolver:
    """Looks addresses up in one thread for each host, however many ask for it meanwhile.

    A look-up can't be ended: where no name server answers, its thread stays until the C library
    gives up, and those who asked have gone on before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[tuple[str, int], SharedCall[list[Address]]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return where a host can be reached, at least one address.

        Raises:
            OSError: There is no such host, or nobody told within the time.
        """
        with self._lock:
            call = self._hosts.setdefault(
                (host, port), SharedCall(partial(_look_up, host, port), name=f"resolve-{host}")
            )
        try:
            return call.get(Deadline(seconds))
        except DeadlineExceeded:
            raise socket.gaierror(
                socket.EAI_AGAIN,
                f"no name server told the address of {host} within {seconds:.1f} s",
            ) from None
        except HostError as error:
            raise OSError(str(error)) from error


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
