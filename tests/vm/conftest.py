"""What the tests in the virtual machine share: one machine, and volumes of each test's own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.support.debian_packages import install_packages
from tests.vm.image import PACKAGES, build_image, write_driver_disk
from tests.vm.machine import Machine
from tests.vm.node import Node
from tests.vm.volumes import Volume

_TEST_SECONDS = 600  # far above what any test takes; the waits inside say more when they end
_CONSOLE_CHARACTERS = 6000

_consoles = pytest.StashKey[Machine]()


class MakeVolume(Protocol):
    """Make a volume, attached unless said otherwise; it goes with the test."""

    def __call__(self, filesystem: str = "ext4", *, gib: int = 1, attached: bool = True) -> Volume:
        """Make it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests more time than others have."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


@pytest.fixture(scope="session")
def machine(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Machine]:
    install_packages(PACKAGES)
    folder = tmp_path_factory.mktemp("vm")
    made = Machine(folder=folder, image=build_image(), driver_disk=write_driver_disk(folder))
    pytestconfig.stash[_consoles] = made
    try:
        yield made
    finally:
        made.cut_power()


@pytest.fixture(scope="session")
def shared_node(machine: Machine) -> Iterator[Node]:
    node = Node(machine)
    yield node
    node.stop()


@pytest.fixture
def node(shared_node: Node) -> Node:
    """The node, on and with its driver, whatever the test before has done to it."""
    shared_node.start()
    return shared_node


@pytest.fixture
def make_volume(node: Node) -> Iterator[MakeVolume]:
    with ExitStack() as made:

        def make(filesystem: str = "ext4", *, gib: int = 1, attached: bool = True) -> Volume:
            volume = Volume(node, node.machine.make_disk(gib=gib), filesystem=filesystem)
            made.callback(volume.remove)
            if attached:
                volume.attach()
            return volume

        yield make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what machine and driver said last."""
    report = yield
    machine = item.config.stash.get(_consoles, None)
    if report.failed and machine is not None:
        said = machine.console.read_text(errors="replace")[-_CONSOLE_CHARACTERS:]
        report.sections.append(("console of the virtual machine", said))
    return report
