"""A process of its own that asks Probe again and again, as kubelet does, and times the answers."""

from __future__ import annotations

import multiprocessing
import pathlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc

# Far more often than kubelet, far too seldom to be a load.
_INTERVAL_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0


class Probing:
    """What a prober found, once its block has ended."""

    def __init__(self) -> None:
        self.worst_seconds = 0.0
        self.count = 0


@contextmanager
def probing(socket: pathlib.Path) -> Iterator[Probing]:
    """Probe a driver for the length of the block."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_probe, args=(str(socket), theirs), daemon=True)
    process.start()
    found = Probing()
    try:
        ours.recv()  # it has begun
        yield found
        ours.send("end")
        found.count, found.worst_seconds = ours.recv()
    finally:
        process.kill()
        process.join()


def _probe(socket: str, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which ends us
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        identity = csi_pb2_grpc.IdentityStub(channel)
        identity.Probe(csi_pb2.ProbeRequest(), timeout=_PATIENCE_SECONDS)
        connection.send("begun")
        times = []
        while not connection.poll(_INTERVAL_SECONDS):
            began = time.perf_counter()
            identity.Probe(csi_pb2.ProbeRequest(), timeout=_PATIENCE_SECONDS)
            times.append(time.perf_counter() - began)
    connection.send((len(times), max(times, default=0.0)))
