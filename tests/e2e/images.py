"""The images that Kubernetes' tests name, each made from programs of this machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from tests.e2e.programs import HELPER, TESTS
from tests.kubernetes.cluster.images import Image, busybox, write_image
from tests.kubernetes.cluster.places import KUBELET

_REGISTRY = "registry.k8s.io"
# The repositories of the images that specs of storage run. All of them want a shell; what the real
# ones have beside it (nginx, a resolver) no spec of storage uses.
_SMALL = ("busybox",)
_OF_DEBIAN = ("nginx", "glibc-dns-testing")
# The small dd neither reads nor writes past the cache, which one spec asks for; and the small shell
# takes its own dd, whatever lies in /bin.
_PROGRAMS_OF_DEBIAN = {"bin/dd": Path("/bin/dd"), "bin/sh": Path("/bin/dash")}
# The tests look at the node as process 1 sees it, and for kubelet's folder where it usually is.
# Here process 1 may be out of reach, and the folder is elsewhere: so each command sees the mounts
# that kubelet sees, and its folder at the usual place.
_ENTER: Final = f"""\
#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
for process in /rootfs/proc/[0-9]*; do
  if grep -q -s kubelet "$process/comm" && grep -q -s "root-dir={KUBELET}" "$process/cmdline"; then
    exec busybox nsenter --mount="$process/ns/mnt" -- \\
      unshare --mount --propagation slave sh -c \\
      'mount --rbind {KUBELET} /var/lib/kubelet && exec "$@"' sh "$@"
  fi
done
echo "no kubelet with the folder {KUBELET}" >&2
exit 1
"""


def write_test_images(programs: Path, folder: Path) -> tuple[Path, ...]:
    """Write the images as tars that `ctr image import` reads, and return the tars."""
    listed = subprocess.run(
        [programs / TESTS, "--list-images"], check=True, capture_output=True, text=True
    ).stdout
    names = re.findall(rf"^{_REGISTRY}/\S+$", listed, re.MULTILINE)
    programs_of_debian = {
        path: content
        for place, program in _PROGRAMS_OF_DEBIAN.items()
        for path, content in _with_libraries(place, program).items()
    }
    images = [busybox(name) for name in names if _repository(name) in _SMALL]
    images += [
        busybox(name, programs_of_debian) for name in names if _repository(name) in _OF_DEBIAN
    ]
    helper = {"agnhost": (programs / HELPER).read_bytes(), "bin/nsenter": _ENTER.encode()}
    images += [_agnhost(name, helper) for name in names if _repository(name) == "agnhost"]
    return tuple(write_image(image, folder) for image in images)


def _agnhost(name: str, helper: dict[str, bytes]) -> Image:
    shell = busybox(name, helper)
    return Image(
        name=name,
        command="/agnhost",
        programs=shell.programs,
        links=shell.links,
        takes_arguments=True,
    )


def _repository(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _with_libraries(place: str, program: Path) -> dict[str, bytes]:
    """Return a program and what it is linked to, by where each goes."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = map(Path, re.findall(r"(/\S+) \(0x", listed))
    read = {f"{each}".removeprefix("/"): each.read_bytes() for each in libraries}
    return {place: program.read_bytes(), **read}
