"""What all tests share: the skip of those that this machine cannot run."""

import os
import pathlib

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `root` where loop devices cannot be made."""
    if os.geteuid() == 0 and pathlib.Path("/dev/loop-control").exists():
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root and /dev/loop-control"))
