"""What all tests share: which are fast, and which this machine cannot run."""

import os
import pathlib

import pytest

TESTS = pathlib.Path(__file__).parent
# Here tests start no process and touch no device: hundreds of them end in seconds.
FAST = {TESTS, TESTS / "unit"}

# gRPC would do things of its own in each process that a test forks, between fork and exec, which
# now and then ends the process; it reads this when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the disks of the node's tests have other sectors than the platform's."""
    parser.addoption("--sector-bytes", type=int, default=4096, choices=(512, 4096))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by its folder, and skip what needs loop devices where there are none."""
    can_make_devices = os.geteuid() == 0 and pathlib.Path("/dev/loop-control").exists()
    for item in items:
        if item.path.parent not in FAST:
            item.add_marker("slow")
        if item.get_closest_marker("root") and not can_make_devices:
            item.add_marker(pytest.mark.skip(reason="needs root and /dev/loop-control"))
