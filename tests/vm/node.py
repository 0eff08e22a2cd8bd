"""A node of a cluster: the machine, and the driver's node service in it."""

from __future__ import annotations

from typing import Final

import grpc

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.support.waiting import wait_until
from tests.vm.guest.agent import CSI_SOCKET
from tests.vm.machine import Machine

DEVICE_WAIT_SECONDS: Final = 10
"""How long the driver waits for a disk, in place of a minute."""

_INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
_READY_SECONDS = 60
_RECORD = "/run/driver.pid"
_DRIVER = (
    "python3 -m csi_exoblock node --log-format text --log-level debug"
    f" --endpoint unix://{CSI_SOCKET} --instance-id {_INSTANCE} --zone ch-gva-2"
    f" --device-wait-timeout {DEVICE_WAIT_SECONDS}s --device-in-use-timeout 3s"
    " --max-concurrent-format 12"
)
# As in a container that isn't given the right to grow a mounted ext4.
_UNABLE_TO_GROW_ONLINE = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource"
# The first ones fail: the driver has no socket yet.
_CONNECT_QUICKLY = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Node:
    """What kubelet has of a node.

    Attributes:
        machine: Its hardware.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._channel: grpc.Channel | None = None

    @property
    def service(self) -> csi_pb2_grpc.NodeStub:
        """The driver's node service."""
        assert self._channel is not None, "the driver doesn't run"
        return csi_pb2_grpc.NodeStub(self._channel)

    def start(self) -> None:
        """Switch the machine on if it is off, and start the driver if it doesn't run."""
        if not self.machine.is_on:
            self.machine.start()
        if self._channel is None:
            self.start_driver()

    def stop(self) -> None:
        """Switch it off in the middle of whatever it does."""
        self.machine.cut_power()
        self._disconnect()  # only now: calls under way shall not be seen to be cancelled

    def reboot(self) -> None:
        """Restart it without a word to the driver, as a panic does."""
        self.machine.reset()
        self._disconnect()
        self.start()

    def start_driver(self, *, grows_mounted_ext4: bool = True) -> None:
        """Start the driver, in place of the one that runs."""
        self.kill_driver()
        wrapper = "" if grows_mounted_ext4 else _UNABLE_TO_GROW_ONLINE
        record = f"echo $$ > {_RECORD}; exec {wrapper} {_DRIVER}"
        redirected = "< /dev/null > /dev/console 2>&1"
        self.machine.run("sh", "-c", f"setsid --fork sh -c '{record}' {redirected}")
        self._channel = grpc.insecure_channel(self.machine.csi_address, options=_CONNECT_QUICKLY)
        identity = csi_pb2_grpc.IdentityStub(self._channel)
        answer = identity.Probe(csi_pb2.ProbeRequest(), timeout=_READY_SECONDS, wait_for_ready=True)
        assert answer.ready.value

    def kill_driver(self) -> None:
        """End the driver with SIGKILL; what it began goes on without it."""
        self._disconnect()
        ended = "while kill -9 $pid 2> /dev/null; do sleep 0.1; done"
        left = f"rm -f {_RECORD} {CSI_SOCKET}"
        self.machine.run("sh", "-c", f"pid=$(cat {_RECORD}) && {{ {ended}; }}; {left}")

    def wait_until_at(self, step: str, volume_id: str) -> None:
        """Return when the driver has come to a step of its work on a volume, by what it logs."""

        def has_come() -> bool:
            lines = self.machine.console.read_text(errors="replace").splitlines()
            return any(step in line and volume_id in line for line in lines)

        wait_until(has_come, f"{step} of {volume_id}")

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
