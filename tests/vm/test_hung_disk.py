"""S26: a disk that answers no more, as a backend that is stuck leaves it, beside one that works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.support.grpc_errors import outcome, refused
from tests.vm.conftest import MakeVolume
from tests.vm.node import Node
from tests.vm.volumes import Volume

_MANY = 20


def test_a_disk_that_stops_answering_holds_up_no_other(node: Node, make_volume: MakeVolume) -> None:
    """S26, D6: what works keeps its time; what hangs is unavailable, and leaves when it answers."""
    hung, healthy = make_volume(), make_volume()
    hung.bring()
    hung.write_canary()
    node.machine.run("sh", "-c", f"echo more > {hung.target}/canary")  # in the page cache alone

    with node.machine.stopped(hung.disk):
        with ThreadPoolExecutor(_MANY) as kubelet:
            asked = [kubelet.submit(outcome, hung.health) for _ in range(_MANY)]
            _live(healthy)
        hung.unpublish()
        with refused(grpc.StatusCode.UNAVAILABLE, "doesn't answer"):
            hung.unstage()
        _live(healthy)

    answers = {each.result() for each in asked}  # the kernel may have in memory what is asked for
    assert {code for code, _ in answers} <= {"OK", "UNAVAILABLE"}, answers
    hung.unstage()
    hung.bring()
    assert hung.read_canary() == "more"


def _live(volume: Volume) -> None:
    """Have a volume come to a pod, be asked about, and leave, each call within kubelet's time."""
    volume.bring()
    volume.write_canary()
    assert volume.health() == []
    assert volume.read_canary() == volume.id
    volume.leave()
