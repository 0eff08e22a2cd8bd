"""F1: the API key rotates without a restart, and without a call that fails for it."""

from __future__ import annotations

import itertools
import json
import pathlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import grpc
import pytest

from csi_exoblock.pb import csi_pb2
from tests.controller.conftest import Controller, StartController
from tests.controller.requests import create_volume
from tests.support.driver_process import DriverProcess
from tests.support.simulator_process import SimulatorProcess, permitted_operations
from tests.support.waiting import wait_until

CALLERS = 6
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.05

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNDECIDED = grpc.StatusCode.UNAVAILABLE  # a final code would let the provisioner forget a volume

Start = Callable[[], DriverProcess]
Request = TypeVar("Request")
Answer = TypeVar("Answer")

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Key:
    """An API key of which nothing may ever be logged."""

    key: str
    secret: str

    def json(self) -> str:
        """Write it in the cloud controller's format."""
        return json.dumps({"name": "tests", "api_key": self.key, "api_secret": self.secret})


@pytest.fixture
def new_key(shared_cloud: SimulatorProcess) -> Callable[[], Key]:
    """Make a key of the driver's role, each with a secret of its own."""

    def make() -> Key:
        number = next(_NUMBERS)
        made = Key(f"EXOrotating{number}", f"hidden-{number}-{'x' * number}")
        shared_cloud.put_key(made.key, made.secret, permitted_operations())
        return made

    return make


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "credentials.json"


@pytest.fixture
def start(start_controller: StartController, file: pathlib.Path) -> Start:
    """Start a driver on the file that is past its first doubts."""

    def start() -> DriverProcess:
        driver = start_controller(
            "--credentials-file", str(file), "--log-level", "debug", EXOSCALE_API_KEY="nonsense"
        )
        Controller(driver.channel).CreateVolume(create_volume(f"settled-{next(_NUMBERS)}"))
        return driver

    return start


class Load:
    """Callers that make and delete volumes, and repeat what fails, as sidecars do.

    Attributes:
        failed: The codes of calls that failed, and what they said.
        lives: How many volumes came and went, by caller.
    """

    def __init__(self, controller: Controller) -> None:
        self.failed: list[tuple[grpc.StatusCode, str]] = []
        self.lives = [0] * CALLERS
        self._controller = controller
        self._ended = threading.Semaphore(0)
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(CALLERS)
        self._callers = [self._pool.submit(self._call, each) for each in range(CALLERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._pool.shutdown()

    def finish(self) -> None:
        """Let every caller end the life that it is at."""
        self._ending.set()
        for caller in self._callers:
            caller.result()

    def go_on(self, lives: int = 3 * CALLERS) -> None:
        """Wait until a number of further volumes came and went."""
        for _ in range(lives):
            assert self._ended.acquire(timeout=PATIENCE_SECONDS)

    def everyone_goes_on(self) -> None:
        """Return when every caller has begun and ended another life."""
        before = list(self.lives)
        wait_until(
            lambda: all(now > then + 1 for now, then in zip(self.lives, before, strict=True))
        )

    def _call(self, caller: int) -> None:
        while not self._ending.is_set():
            asked = create_volume(f"rotating-{next(_NUMBERS)}")
            volume = self._insist(self._controller.CreateVolume, asked).volume
            gone = csi_pb2.DeleteVolumeRequest(volume_id=volume.volume_id)
            self._insist(self._controller.DeleteVolume, gone)
            self.lives[caller] += 1
            self._ended.release()

    def _insist(self, method: Callable[[Request], Answer], request: Request) -> Answer:
        while True:
            try:
                return method(request)
            except grpc.RpcError as error:
                call = cast(grpc.Call, error)
                self.failed.append((call.code(), str(call.details())))
                self._ending.wait(RETRY_SECONDS)


def test_a_key_that_is_replaced_and_then_revoked_fails_no_call(
    shared_cloud: SimulatorProcess,
    start: Start,
    file: pathlib.Path,
    new_key: Callable[[], Key],
) -> None:
    old, new = new_key(), new_key()
    swap(file, old.json())
    driver = start()

    with Load(Controller(driver.channel)) as load:
        load.go_on()
        swap(file, new.json())
        shared_cloud.revoke_key(old.key)
        load.go_on()
        load.finish()

    assert load.failed == []
    assert "API key changed" in driver.log.read_text()
    assert not hidden_in(driver.log, old, new)
    assert left(shared_cloud) == []


def test_a_key_that_is_revoked_before_its_successor_comes_loses_nothing(
    shared_cloud: SimulatorProcess,
    start: Start,
    file: pathlib.Path,
    new_key: Callable[[], Key],
) -> None:
    old, new = new_key(), new_key()
    swap(file, old.json())
    driver = start()

    with Load(Controller(driver.channel)) as load:
        load.go_on()
        shared_cloud.revoke_key(old.key)
        wait_until(lambda: len(load.failed) >= 2 * CALLERS)
        swap(file, new.json())
        load.everyone_goes_on()
        refused = len(load.failed)
        load.everyone_goes_on()
        load.finish()

    for code, says in load.failed:
        assert code is (UNDECIDED if "not known yet" in says else DENIED), says
        assert "API key" in says or "not known yet" in says
    assert len(load.failed) == refused  # the new key is refused nowhere
    assert not hidden_in(driver.log, old, new)
    assert left(shared_cloud) == []  # what was under way has one volume still, or none


def test_a_file_that_becomes_bad_is_logged_once_and_the_old_key_stays(
    shared_cloud: SimulatorProcess,
    start: Start,
    file: pathlib.Path,
    new_key: Callable[[], Key],
) -> None:
    old, new = new_key(), new_key()
    swap(file, old.json())
    driver = start()
    controller = Controller(driver.channel)

    for content in ('{"api_key": "' + new.key, None):
        swap(file, content)
        for _ in range(3):
            controller.ListVolumes(csi_pb2.ListVolumesRequest())
    complaints = [line for line in driver.log.read_text().splitlines() if "unreadable" in line]
    swap(file, new.json())
    shared_cloud.revoke_key(old.key)
    controller.ListVolumes(csi_pb2.ListVolumesRequest())

    assert [json.loads(line)["error"].partition("credentials.json")[2] for line in complaints] == [
        " is no JSON object with api_key and api_secret",
        ": No such file or directory",
    ]
    assert not hidden_in(driver.log, old, new)


def test_a_folder_that_kubelet_swaps_is_followed(
    shared_cloud: SimulatorProcess,
    start_controller: StartController,
    tmp_path: pathlib.Path,
    new_key: Callable[[], Key],
) -> None:
    old, new = new_key(), new_key()
    mounted = tmp_path / "secret"
    project(mounted, old)
    driver = start_controller("--credentials-file", str(mounted))
    controller = Controller(driver.channel)
    controller.ListVolumes(csi_pb2.ListVolumesRequest())

    project(mounted, new)
    shared_cloud.revoke_key(old.key)

    controller.ListVolumes(csi_pb2.ListVolumesRequest())
    assert not hidden_in(driver.log, old, new)


def swap(file: pathlib.Path, content: str | None) -> None:
    """Replace a file at once, or remove it."""
    if content is None:
        file.unlink()
        return
    beside = file.with_suffix(".new")
    beside.write_text(content)
    beside.rename(file)


def project(folder: pathlib.Path, key: Key) -> None:
    """Show a secret as kubelet does: links to links into a folder that is replaced whole."""
    content = folder / f"..{key.key}"
    content.mkdir(parents=True)
    (content / "EXOSCALE_API_KEY").write_text(key.key)
    (content / "EXOSCALE_API_SECRET").write_text(key.secret)
    for name in ("EXOSCALE_API_KEY", "EXOSCALE_API_SECRET"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(content.name)
    (folder / "..data_tmp").rename(folder / "..data")


def hidden_in(log: pathlib.Path, *keys: Key) -> list[str]:
    """Return the lines that hold a key or a secret (F12)."""
    hidden = [text for each in keys for text in (each.key, each.secret)]
    lines = log.read_text().splitlines()
    return [line for line in lines if any(text in line for text in hidden)]


def left(cloud: SimulatorProcess) -> list[str]:
    """Return the volumes of the load that are still there."""
    names = [str(volume["name"]) for volume in cloud.volumes()]
    return [name for name in names if name.startswith("rotating-")]
