"""The lookup of a host's addresses within a time limit, which the C library does not have (S5)."""

from __future__ import annotations

import socket
import threading
from functools import partial

from csi_exoblock.concurrency import Deadline, SharedCall
from csi_exoblock.errors import DeadlineExceeded, HostError

Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


class Resolver:
    """Looks up addresses in one thread per host, which all concurrent callers share.

    A lookup can't be cancelled. If no name server answers, its thread stays until the C library
    gives up by the limits of `resolv.conf`; the callers have gone on before that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[tuple[str, int], SharedCall[list[Address]]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return where a host can be reached, at least one address.

        Raises:
            OSError: There is no such host, or no name server answered in time.
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
