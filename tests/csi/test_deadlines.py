"""A call ends with the time that its caller gave it, and says how far it came (S5, F11)."""

from __future__ import annotations

import grpc

from csi_exoblock.pb import csi_pb2_grpc
from tests.controller.requests import create_volume, delete_volume
from tests.controller.waiting import as_a_sidecar_would
from tests.csi.conftest import LIMIT_SECONDS, Start
from tests.support.grpc_errors import outcome, refused
from tests.support.simulator_process import SimulatorProcess
from tests.support.waiting import wait_until

GET = "get-block-storage-volume"


def test_a_call_ends_with_its_callers_time_and_leaves_its_volume(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # S5: a read of the API is not waited for any longer
    driver = start("controller", "--api-timeout", "1h")
    controller = csi_pb2_grpc.ControllerStub(driver.channel)
    volume = controller.CreateVolume(create_volume("in-a-hurry")).volume.volume_id
    late = shared_cloud.add_fault(fault="delay", seconds=3600.0, operation=GET, count=1)

    def is_late() -> bool:
        """Return whether a call has ended during that read; on a busy machine it can before."""
        code, _ = outcome(lambda: controller.DeleteVolume(delete_volume(volume), timeout=1.0))
        assert code in ("DEADLINE_EXCEEDED", "ABORTED")
        (rule,) = (each for each in shared_cloud.faults() if each["id"] == late)
        return bool(rule["fired"])

    wait_until(is_late, "the read to be late")
    as_a_sidecar_would(lambda: controller.DeleteVolume(delete_volume(volume)))

    shared_cloud.remove_fault(late)


def test_a_call_whose_own_time_ends_says_where_it_was(
    start: Start, shared_cloud: SimulatorProcess
) -> None:  # F11
    driver = start("controller", "--create-timeout", "20s")  # 2 s at this time scale
    create = csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume
    as_a_sidecar_would(lambda: create(create_volume("settled-before")))
    shared_cloud.set_latency("create", 3600.0)

    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, "(it was at: "):
        create(create_volume("slow-by-itself"), timeout=LIMIT_SECONDS)

    shared_cloud.set_latency("create", 0.0)
