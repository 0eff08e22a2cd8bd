"""`doctor --node` finds one planted fault for each check of a node, and changes nothing (N11)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from csi_exoblock.app.inspection import InspectedHost, inspected_host
from csi_exoblock.config import KubernetesSettings, NodeSettings
from csi_exoblock.timing import Timing
from csi_exoblock.tools import doctor
from csi_exoblock.tools.bundle_archive import Archive
from csi_exoblock.tools.bundle_node import NodeEvidence
from csi_exoblock.tools.bundle_redaction import Redaction
from csi_exoblock.tools.doctor import Verdict
from csi_exoblock.tools.doctor_disks import DiskChecks
from csi_exoblock.tools.doctor_host import PROGRAMS, HostChecks
from tests.apiserver.server import ApiServer
from tests.node.disks import Disk, attached_disk
from tests.tools.conftest import CSI_NODES, Ended, run_tool
from tests.tools.objects import DRIVER, csi_node
from tests.tools.test_bundle import unpacked

INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
OTHER = "00000000-0000-0000-0000-000000000001"
ZONE = "ch-gva-2"
NODE, CSI_NODE = "/api/v1/nodes/here", f"{CSI_NODES}/here"
VOLUME = "6f0c9a4e-1111-2222-3333-444455556666"
SERIAL = VOLUME[:20]

OnNode = Callable[..., Ended]


@pytest.fixture
def server(cluster: ApiServer) -> ApiServer:
    """A cluster in which this host is the Node `here`, in order."""
    cluster.objects[NODE] = {
        "metadata": {"name": "here", "labels": {"topology.kubernetes.io/zone": ZONE}},
        "spec": {"providerID": f"exoscale://{INSTANCE}"},
        "status": {},
    }
    cluster.objects[CSI_NODE] = csi_node("here", 5)
    return cluster


@pytest.fixture
def links(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "by-id").mkdir()
    return tmp_path / "by-id"


@pytest.fixture
def kubelet(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "kubelet").mkdir()
    return tmp_path / "kubelet"


@pytest.fixture
def on_node(server: ApiServer, links: pathlib.Path, kubelet: pathlib.Path) -> OnNode:
    """Run the doctor in a pod of the node plugin."""

    def start(*flags: str, **environment: str) -> Ended:
        return run_tool(
            "doctor",
            "--node",
            "--output=json",
            f"--device-dir={links}",
            f"--kubelet-path={kubelet}",
            *flags,
            environment={**server.environment, "KUBE_NODE_NAME": "here", **environment},
        )

    return start


class FakeDisks:
    """Disks with serials, as sysfs shows them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.sysfs = folder / "sys"
        self._blocks = self.sysfs / "class" / "block"
        self._blocks.mkdir(parents=True)

    def add(self, name: str, serial: str | None) -> None:
        """Add a disk; one without serial does not answer for it."""
        block = self._blocks / name
        (block / "queue").mkdir(parents=True)
        (block / "dev").write_text(f"252:{len(list(self._blocks.iterdir()))}\n")
        (block / "size").write_text("2097152\n")
        (block / "queue" / "logical_block_size").write_text("4096\n")
        if serial is None:
            (block / "serial").mkdir()  # reading it fails
        else:
            (block / "serial").write_text(f"{serial}\n")


@pytest.fixture
def disks(tmp_path: pathlib.Path) -> FakeDisks:
    return FakeDisks(tmp_path)


@pytest.fixture
def host(
    server: ApiServer, links: pathlib.Path, kubelet: pathlib.Path, disks: FakeDisks
) -> InspectedHost:
    """The readers of a host with these disks."""
    return inspected_host(
        NodeSettings(device_dir=links, kubelet_path=kubelet),
        KubernetesSettings(
            host=server.host,
            port=server.port,
            service_account_path=server.account,
            node_name="here",
        ),
        driver_name=DRIVER,
        timing=Timing().scaled(0.3),  # for what nobody answers; a busy machine takes a second
        sysfs=disks.sysfs,
    )


def faults(checks: DiskChecks | HostChecks, name: str) -> list[str]:
    """Return what a check finds wrong."""
    found = doctor.run([each for each in checks.all() if each.name == name])
    return [each.says for each in found if each.verdict is Verdict.WRONG and each.remedy]


def test_healthy_node_has_no_fault(on_node: OnNode, server: ApiServer) -> None:  # N11
    ended = on_node()

    assert (ended.faults(), ended.skipped()) == ([], [])
    assert {each.method for each in server.received} == {"GET"}


def test_node_needs_no_api_key(on_node: OnNode) -> None:  # N11, F14
    assert "EXOSCALE_API_KEY" not in on_node().errors


def test_node_without_any_identity_is_found(on_node: OnNode, server: ApiServer) -> None:  # N11, S10
    server.objects[NODE]["spec"] = {}

    ((check, says),) = on_node().faults()

    assert check == "identity"
    assert says.startswith("no source knows instance and zone: kubernetes: the Node has providerID")


def test_what_runs_outside_of_a_pod_says_where_to_run(cluster: ApiServer) -> None:  # N11
    ended = run_tool("doctor", "--node", "--output=json", environment={})

    (remedy,) = (each["remedy"] for each in ended.json["findings"] if each["check"] == "identity")
    assert remedy.endswith("run this in the plugin's pod, see docs/doctor.md")


def test_sources_that_disagree_are_found(on_node: OnNode) -> None:  # N11, S10
    ((check, says),) = on_node(f"--instance-id={OTHER}", f"--zone={ZONE}").faults()

    assert check == "identity"
    assert says == (
        f"the sources disagree: --instance-id says {ZONE}/{OTHER}, "
        f"kubernetes says {ZONE}/{INSTANCE}"
    )


def test_node_that_kubelet_did_not_register_is_found(
    on_node: OnNode, server: ApiServer
) -> None:  # N11, N18
    del server.objects[CSI_NODE]

    assert [check for check, _ in on_node().faults()] == ["registration"]


def test_missing_tool_is_found(on_node: OnNode, tmp_path: pathlib.Path) -> None:  # N11
    path = tmp_path / "bin"
    path.mkdir()
    for program in PROGRAMS.keys() - {"mkfs.xfs"}:
        (path / program).symlink_to(shutil.which(program) or "/nothing")

    ((check, says),) = on_node(PATH=str(path)).faults()

    assert check == "tools"
    assert says.startswith("mkfs.xfs -V could not be started")


@pytest.mark.fast
def test_every_program_that_the_host_room_runs_is_looked_for() -> None:  # N11
    room = pathlib.Path(doctor.__file__).parents[1] / "host"
    text = "".join(each.read_text() for each in room.glob("*.py"))
    packages = ("e2fsprogs", "xfsprogs", "btrfs-progs", "util-linux", "mount")
    listed = subprocess.run(
        ("dpkg", "--listfiles", *packages), capture_output=True, text=True, check=True
    ).stdout
    folders = ("/bin/", "/sbin/")
    files = (each for each in listed.splitlines() if any(folder in each for folder in folders))

    run = {name for name in (pathlib.Path(each).name for each in files) if f'("{name}"' in text}

    assert run <= PROGRAMS.keys()
    assert {"blkid", "e2fsck", "mkfs.xfs"} <= run


@pytest.mark.parametrize(
    ("modules", "verdicts"),
    [
        ("kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz\n", ["well", "well", "well"]),
        ("kernel/fs/nfs/nfs.ko:\n", ["well", "wrong", "well"]),
        (None, ["well", "not checked", "not checked"]),
    ],
    ids=["can be loaded", "absent", "not readable"],
)
def test_kernel_without_a_file_system_is_found(
    host: InspectedHost, tmp_path: pathlib.Path, modules: str | None, verdicts: list[str]
) -> None:  # N11
    proc = tmp_path / "proc"
    folder = proc / "1" / "root" / "lib" / "modules" / os.uname().release
    folder.mkdir(parents=True)
    (proc / "filesystems").write_text("nodev\ttmpfs\n\text4\n")
    if modules is not None:
        (folder / "modules.dep").write_text(modules)
        (folder / "modules.builtin").write_text("")
    elif pathlib.Path("/lib/modules", os.uname().release).exists():
        pytest.skip("this host's own lists of modules would be read")

    (check,) = (each for each in HostChecks(host, proc=proc).all() if each.name == "kernel")

    assert [each.verdict.value for each in check.findings()] == verdicts


@pytest.mark.root
def test_mounts_that_stay_in_the_container_are_found(
    on_node: OnNode, kubelet: pathlib.Path
) -> None:  # N11, S15
    with mounted("-t", "tmpfs", "none", target=kubelet):
        subprocess.run(("mount", "--make-private", str(kubelet)), check=True)
        found = on_node().faults()

    assert [check for check, _ in found] == ["propagation"]


def test_work_that_does_not_end_is_found(
    host: InspectedHost, tmp_path: pathlib.Path
) -> None:  # N11, D10
    proc = tmp_path / "proc"
    for pid, name, started in ((7, "mkfs.xfs", 0), (8, "e2fsck", 1_000_000), (9, "(sd-pam) x", 0)):
        (proc / str(pid)).mkdir(parents=True)
        ticks = started * os.sysconf("SC_CLK_TCK")
        fields = " ".join(["S", *["0"] * 18, str(ticks), "0"])
        (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {fields}\n")
    (proc / "uptime").write_text("1000060.0 1.0\n")

    assert faults(HostChecks(host, proc=proc), "long work") == [
        "mkfs.xfs (process 7) has run for 11d"
    ]


def test_process_whose_name_is_cut_within_a_letter_is_passed_over(
    host: InspectedHost, tmp_path: pathlib.Path
) -> None:  # N11: the kernel keeps 15 bytes of a name
    (tmp_path / "proc" / "7").mkdir(parents=True)
    stat = b"7 (" + "Überwachungsdü".encode()[:15] + b") S"
    (tmp_path / "proc" / "7" / "stat").write_bytes(stat)
    (tmp_path / "proc" / "uptime").write_text("60.0 1.0\n")

    found = doctor.run(HostChecks(host, proc=tmp_path / "proc").all())

    assert "0 formats, checks and growths are under way" in [each.says for each in found]


def test_file_that_can_not_be_read_loses_no_other_check(
    host: InspectedHost, tmp_path: pathlib.Path
) -> None:  # N11
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "filesystems").write_text("\text4\n\txfs\n\tbtrfs\n")

    found = doctor.run(HostChecks(host, proc=tmp_path / "proc").all())

    wrong = {each.check: each.says for each in found if each.verdict is Verdict.WRONG}
    assert f"{tmp_path}/proc/uptime" in wrong["long work"]
    assert "ext4 is loaded" in [each.says for each in found]


def test_silent_disk_is_found(host: InspectedHost, disks: FakeDisks) -> None:  # N11, S26
    disks.add("vdb", None)

    assert faults(DiskChecks(host), "disks") == [
        "disk vdb does not report its serial; it might hang"
    ]


@pytest.mark.parametrize("serial", [None, ""])
def test_silent_disk_is_called_by_the_volume_of_its_link(
    host: InspectedHost, disks: FakeDisks, links: pathlib.Path, serial: str | None
) -> None:  # N11, S26: udev made the link when the disk still answered
    disks.add("vda", "")  # a boot disk without a serial
    disks.add("vdb", serial)
    (links / f"virtio-{SERIAL}").symlink_to("../../vdb")

    assert faults(DiskChecks(host), "disks") == [
        f"disk vdb of volume {SERIAL}… does not report its serial; it might hang"
    ]


def test_two_disks_of_one_volume_are_found(
    host: InspectedHost, disks: FakeDisks
) -> None:  # N11, D2
    disks.add("vdb", SERIAL)
    disks.add("vdc", SERIAL)

    assert faults(DiskChecks(host), "disks") == [f"disks vdb and vdc have the same serial {SERIAL}"]


@pytest.mark.parametrize("name", ["vda", "vdc"])
def test_link_to_another_disk_is_found(
    host: InspectedHost, disks: FakeDisks, links: pathlib.Path, name: str
) -> None:  # N11, D2
    disks.add("vdb", SERIAL)
    disks.add("vdc", OTHER[:20])
    (links / f"virtio-{SERIAL}").symlink_to(f"../../{name}")

    (says,) = faults(DiskChecks(host), "links")

    assert says.endswith(f"leads to {name}, but the disk with serial {SERIAL} is vdb")


def test_file_in_place_of_a_link_is_found_and_the_links_after_it_are_compared(
    host: InspectedHost, disks: FakeDisks, links: pathlib.Path
) -> None:  # N11, D2
    disks.add("vdb", SERIAL)
    (links / "virtio-0").write_text("")
    (links / f"virtio-{SERIAL}").symlink_to("../../vda")

    first, second = faults(DiskChecks(host), "links")

    assert first == f"{links}/virtio-0 can't be read: Invalid argument"
    assert "leads to vda" in second


def test_disk_that_kubernetes_does_not_know_is_found(
    host: InspectedHost, disks: FakeDisks, server: ApiServer
) -> None:  # N11, S9
    disks.add("vdb", SERIAL)
    disks.add("vdc", OTHER[:20])
    name = f"kubernetes.io/csi/{DRIVER}^{ZONE}/{OTHER}"
    server.objects[NODE]["status"] = {"volumesAttached": [{"name": name}]}

    (says,) = faults(DiskChecks(host), "unknown disks")

    assert says.startswith(f"disk vdb, volume {SERIAL}…, is unknown to Kubernetes")


def test_volume_of_the_vendors_driver_beside_this_one_is_not_unknown(
    host: InspectedHost, disks: FakeDisks, server: ApiServer
) -> None:  # N11: to detach it would take it from its pod
    disks.add("vdb", SERIAL)
    name = f"kubernetes.io/csi/csi.exoscale.com^{ZONE}/{VOLUME}"
    server.objects[NODE]["status"] = {"volumesAttached": [{"name": name}]}

    assert faults(DiskChecks(host), "unknown disks") == []


def test_volume_that_the_node_itself_uses_is_not_unknown(
    host: InspectedHost, disks: FakeDisks
) -> None:  # N11: such as one for the images, which no folder of kubelet shows
    disks.add("vdb", SERIAL)
    (disks.sysfs / "dev" / "block" / "252:1" / "holders" / "dm-0").mkdir(parents=True)

    found = doctor.run(DiskChecks(host).all())

    assert [each.check for each in found if each.verdict is not Verdict.WELL] == []
    assert any(each.says.endswith("and in use by dm-0") for each in found)


def test_archive_of_a_node_has_its_mounts_and_disks(
    host: InspectedHost, disks: FakeDisks, kubelet: pathlib.Path, tmp_path: pathlib.Path
) -> None:  # F12
    disks.add("vdb", SERIAL)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(
        f"1 2 252:1 / {kubelet}/x rw\n3 4 8:1 / /home rw\n"
    )
    archive = Archive(Redaction([]))

    evidence = NodeEvidence(
        host, archive, proc=tmp_path, sysfs=disks.sysfs, kernel_log=tmp_path / "none"
    )
    evidence.collect()

    found = unpacked(archive.closed("heading"))
    assert found["mounts.txt"] == f"1 2 252:1 / {kubelet}/x rw"
    (disk,) = json.loads(found["disks.json"])
    assert (disk["name"], disk["serial"], disk["size"]) == ("vdb", SERIAL, "2097152")
    assert "not collected: messages of the kernel: " in found["contents.txt"]
    assert "not collected: logs: run" in found["contents.txt"]


def test_archive_is_written_on_a_node_without_api_key(
    on_node: OnNode, tmp_path: pathlib.Path
) -> None:  # F12, F14
    ended = on_node(f"--bundle={tmp_path / 'bundle'}")

    assert ended.faults() == []
    assert json.loads(unpacked((tmp_path / "bundle").read_bytes())["doctor.json"]) == ended.json


@pytest.fixture
def disk(tmp_path: pathlib.Path, links: pathlib.Path) -> Iterator[Disk]:
    """An attached disk with an ext4."""
    (tmp_path / "disks").mkdir()
    with attached_disk(tmp_path / "disks", links) as found:
        found.format("ext4", "-q")
        yield found


@pytest.fixture
def staging(kubelet: pathlib.Path) -> pathlib.Path:
    """Where the volume is staged."""
    made = kubelet / "staging"
    made.mkdir()
    return made


@pytest.mark.root
def test_file_system_that_became_read_only_is_found(
    on_node: OnNode, disk: Disk, staging: pathlib.Path
) -> None:  # N11, D7
    with mounted(str(disk.path), target=staging):
        assert on_node().faults() == []
        subprocess.run(("mount", "-o", "remount,ro", str(disk.path), str(staging)), check=True)
        subprocess.run(("mount", "-o", "remount,bind,rw", str(staging)), check=True)
        ((check, says),) = on_node().faults()

    assert check == "file systems"
    assert says.endswith(f"mounted at {staging}: it is read-only")


@pytest.mark.root
def test_errors_that_a_file_system_has_counted_are_found(
    on_node: OnNode, disk: Disk, staging: pathlib.Path
) -> None:  # N11, N7
    with mounted("-o", "errors=continue", str(disk.path), target=staging):
        trigger = pathlib.Path("/sys/fs/ext4", disk.path.name, "trigger_fs_error")
        trigger.write_text("planted by a test")
        ((check, says),) = on_node().faults()

    assert check == "file systems"
    assert says.endswith(f"mounted at {staging}: it has counted 1 errors")


@pytest.mark.root
def test_mount_whose_disk_has_left_is_found(
    host: InspectedHost, disk: Disk, staging: pathlib.Path
) -> None:  # N11, D6
    with mounted(str(disk.path), target=staging):  # the played sysfs has no such disk
        found = faults(DiskChecks(host), "file systems")

    assert found == [f"{staging} is mounted, but its disk has left"]


@pytest.mark.root
def test_container_without_root_is_found(server: ApiServer) -> None:  # N11
    program = (sys.executable, "-m", "csi_exoblock")
    ended = subprocess.run(
        (
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            *program,
            "doctor",
            "--node",
            "--output=json",
        ),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )

    assert "root" in dict(Ended(code=1, output=ended.stdout, errors=ended.stderr).faults())


@pytest.mark.fast
def test_every_check_has_its_row_in_the_page() -> None:  # N11
    tools = pathlib.Path(doctor.__file__).parent
    names = {
        name
        for each in tools.glob("doctor_*.py")
        for name in re.findall(r'\bCheck\(\s*"([^"]+)"', each.read_text())
    }
    rows = re.findall(r"^\| `([^`]+)` \|", (tools.parents[1] / "docs/doctor.md").read_text(), re.M)

    assert names - {"Kubernetes"} == {*rows}


@contextlib.contextmanager
def mounted(*arguments: str, target: pathlib.Path) -> Iterator[None]:
    """Mount something for the length of the block."""
    subprocess.run(("mount", *arguments, str(target)), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", str(target)), check=True)
