"""What all tests share: their options, and which of them this machine cannot run."""

import os
import pathlib

import pytest
from hypothesis import HealthCheck, settings

# How fast an example runs says something about the machine, not about the driver.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")

# gRPC would do things of its own in each process that a test forks, between fork and exec, which
# now and then ends the process; it reads this when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the disks of the node's tests have other sectors than the platform's."""
    parser.addoption("--sector-bytes", type=int, default=4096, choices=(512, 4096))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs loop devices where there are none."""
    can_make_devices = os.geteuid() == 0 and pathlib.Path("/dev/loop-control").exists()
    for item in items:
        if item.get_closest_marker("root") and not can_make_devices:
            item.add_marker(pytest.mark.skip(reason="needs root and /dev/loop-control"))
