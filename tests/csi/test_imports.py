"""Neither service pays for the other: what a process has imported is what it needs.

Python itself writes down what the real process imports, from its start to its end.
"""

from __future__ import annotations

import pathlib
import re

from csi_exoblock.pb import csi_pb2, csi_pb2_grpc
from tests.controller.requests import create_volume
from tests.csi.conftest import INSTANCE, Start
from tests.support.driver_process import DriverProcess

# What a node, which calls no API, must not pay for: each costs from 0.3 to 6 MiB.
NOT_ON_A_NODE = {
    "requests", "urllib3", "certifi", "charset_normalizer", "exoscale_auth",
    "csi_exoblock.exoscale", "csi_exoblock.controller", "csi_exoblock.app.controller",
    "csi_exoblock.simulator", "csi_exoblock.tools", "aiohttp", "rich",
}  # fmt: skip
NOT_IN_A_CONTROLLER = {
    "csi_exoblock.host", "csi_exoblock.node", "csi_exoblock.app.node", "csi_exoblock.simulator",
    "csi_exoblock.tools", "aiohttp", "rich",
}  # fmt: skip


def test_a_node_imports_nothing_of_the_cloud(start: Start, tmp_path: pathlib.Path) -> None:
    flags = ("--instance-id", INSTANCE, "--zone", "ch-gva-2", "--device-dir", str(tmp_path))
    node = start("node", *flags, "--http-endpoint", "127.0.0.1:0", PYTHONPROFILEIMPORTTIME="1")
    csi_pb2_grpc.NodeStub(node.channel).NodeGetInfo(csi_pb2.NodeGetInfoRequest())

    seen = imported_by(node)

    assert "csi_exoblock.node.staging" in seen
    assert needless(seen, NOT_ON_A_NODE) == set()


def test_a_controller_imports_nothing_of_the_host(start: Start) -> None:
    driver = start("controller", "--http-endpoint", "127.0.0.1:0", PYTHONPROFILEIMPORTTIME="1")
    csi_pb2_grpc.ControllerStub(driver.channel).CreateVolume(create_volume("imports"))

    seen = imported_by(driver)

    assert "csi_exoblock.controller.volumes" in seen
    assert needless(seen, NOT_IN_A_CONTROLLER) == set()


def imported_by(process: DriverProcess) -> set[str]:
    """Return the names of all modules that a process has imported so far."""
    lines = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", process.log.read_text(), re.M)
    return set(lines)


def needless(seen: set[str], unwanted: set[str]) -> set[str]:
    """Return those that are, or are part of, what is unwanted."""
    return {name for name in seen for each in unwanted if f"{name}.".startswith(f"{each}.")}
