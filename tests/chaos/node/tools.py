"""Commands that stand before the real ones on the drivers' PATH, and do as a schedule tells them.

Each run of a command is known by its volume, the RPC that made it, and its ordinal among those. It
writes down that it began, for mkfs and e2fsck on which disk, and for mkfs how it ended; the harness
adds when a disk came to hold something. So one file says in which order all that happened.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

_MKFS = ("mkfs.ext4", "mkfs.ext3", "mkfs.xfs", "mkfs.btrfs")
# What the driver kills when it hangs; if the driver dies first, its container ends with all in it.
_SHORT = ("blkid", "mount", "umount")
# With which exit code each fails.
_FAILURES = {
    **dict.fromkeys(_MKFS, 1), "blkid": 4, "e2fsck": 16, "mount": 32, "umount": 32,
    "resize2fs": 1, "xfs_growfs": 1, "btrfs": 1,
}  # fmt: skip

_SCRIPT = """\
#!/bin/sh
key=$CHAOS_CALL.{kind} run=1 fault= disk=-
set -C
until {{ true >"$CHAOS_FOLDER/runs/$key.$run"; }} 2>/dev/null; do run=$((run + 1)); done
set +C
key=$key.$run
if [ -e "$CHAOS_FOLDER/faults/$key" ]; then read -r fault <"$CHAOS_FOLDER/faults/$key"; fi
say() {{ echo "$key $disk $*" >>"$CHAOS_FOLDER/log"; }}
run_it() {{ {real} "$@"; code=$?; say ended $code; }}
complain() {{ echo "{name}: out of order" >&2; exit {failure}; }}
wait_at_gate() {{
    while [ -e "$CHAOS_FOLDER/gates/$key" ]; do
        if {ends_with_driver} && ! [ -d /proc/$PPID ]; then exit 1; fi
        sleep 0.02
    done
}}
if [ {kind} = mkfs ] || [ {kind} = e2fsck ]; then
    for device; do :; done
    read -r disk <"$CHAOS_FOLDER/disks/${{device##*/}}"
fi
say began $fault
case $fault in
    '') if [ {kind} = mkfs ]; then run_it "$@"; exit $code; fi; exec {real} "$@" ;;
    fails) complain ;;
    'fails after') run_it "$@"; complain ;;
    dies) kill -9 $$ ;;
    'dies half way')
        {real} "$@" & child=$!
        sleep 0.002; kill -9 $child 2>/dev/null; wait $child; say ended $?; kill -9 $$ ;;
    'dies after') run_it "$@"; kill -9 $$ ;;
    lies) exit {lie} ;;
    hangs) wait_at_gate; run_it "$@"; exit $code ;;
    'hangs after') run_it "$@"; wait_at_gate; exit $code ;;
    'outlives its driver') kill -9 $PPID; run_it "$@"; exit $code ;;
    floods) yes 'the same again' | head -c 1000000; run_it "$@"; exit $code ;;
    'talks garbage') head -c 100 /dev/urandom; exit 0 ;;
esac
"""


def install(folder: pathlib.Path) -> None:
    """Write the commands into a folder, which is to come first on the drivers' PATH."""
    for name, failure in _FAILURES.items():
        real = shutil.which(name)
        assert real, f"{name} is not installed"
        tool = folder / name
        tool.write_text(
            _SCRIPT.format(
                name=name,
                kind="mkfs" if name in _MKFS else name,
                real=real,
                failure=failure,
                ends_with_driver="true" if name in _SHORT else "false",
                lie=2 if name == "blkid" else 0,  # it says that there is nothing
            )
        )
        tool.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log: what a run of a command did, or what the harness noted.

    Attributes:
        what: `began`, `ended` or `holds`.
        word: The fault, the exit code, or why it holds something.
    """

    volume: str
    rpc: str
    tool: str
    run: int
    disk: str
    what: str
    word: str


class Tools:
    """The commands of one schedule: what befalls them, and what they have done."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._log.touch()
        for name in ("runs", "faults", "gates"):
            (folder / name).mkdir()

    def befall(self, volume: str, rpc: str, tool: str, run: int, fault: str) -> None:
        """Have something go wrong with a run of a command."""
        key = f"{volume}.{rpc}.{tool}.{run}"
        (self._folder / "gates" / key).touch()
        (self._folder / "faults" / key).write_text(f"{fault}\n")

    def hanging(self, volume: str) -> list[str]:
        """Return the runs for a volume that wait, or would wait, to be let go on."""
        return [
            key.name
            for key in (self._folder / "gates").glob(f"{volume}.*")
            if (self._folder / "runs" / key.name).exists()
        ]

    def let_go_on(self, key: str) -> None:
        """Let a run that hangs go on."""
        (self._folder / "gates" / key).unlink(missing_ok=True)

    def end_faults(self) -> None:
        """Let everything work from now on."""
        for kind in ("faults", "gates"):
            for each in (self._folder / kind).iterdir():
                each.unlink(missing_ok=True)

    def note_content(self, disk: str, why: str) -> None:
        """Write down that from now on a disk holds something that no mkfs may destroy."""
        with self._log.open("a") as log:
            log.write(f"-.-.-.0 {disk} holds {why}\n")

    def lines(self) -> Iterator[Line]:
        """Yield all that happened, in its order."""
        for text in self._log.read_text().splitlines():
            key, disk, what, *words = text.split(" ", 3)
            volume, rpc, tool, run = key.split(".")
            yield Line(volume, rpc, tool, int(run), disk, what, " ".join(words))
