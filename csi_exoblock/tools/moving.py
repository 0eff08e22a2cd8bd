"""`csi-exoblock import --from-driver`: the script that moves another driver's volumes here (F9)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence

from csi_exoblock.errors import InvalidRequest, NotFound
from csi_exoblock.escaping import printable
from csi_exoblock.kubernetes.storage import PersistentVolume
from csi_exoblock.model import VolumeId
from csi_exoblock.options import PROVISIONER_ATTRIBUTE
from csi_exoblock.tools.importing import as_text
from csi_exoblock.tools.reach import Reach
from csi_exoblock.tools.static_volume import StaticVolume

_INTRODUCTION = """\
#!/bin/sh
# Moves {moved} PersistentVolumes from {old} to {new}, and leaves {left} alone.
# Read it first. Stop the pods that use them, and wait for their VolumeAttachments to go.
#
# It deletes no volume: first every PersistentVolume gets the reclaim policy Retain. If it stops,
# mend what it names and run it again in the same folder: it goes on where it stopped. Keep it until
# then. For each PersistentVolume it has files in moved/NAME.UID:
#   old.json, claim.json   the PersistentVolume and its claim as they were
#   new.json               both as they are made again, written before anything is deleted
#   done                   both were made; nothing is done to them again
set -eu
from={quoted_old}
to={quoted_new}
again="print these steps again"
apply={apply}
"""

# A volume is lost if a claim is deleted whose PersistentVolume says `Delete`. So a name proves
# nothing: UIDs tell what is deleted, and each step looks first, because it can have been taken
# before. With `set -e` a `kubectl` in `$(…)` that fails ends the script only in an assignment.
_FUNCTIONS = r"""
stop() {
  echo "stopped: $*" >&2
  exit 1
}

# Whatever ends the script, what was begun and not finished is named.
remains() {
  for each in moved/*/new.json; do
    if test -e "$each" && ! test -e "${each%new.json}done"; then
      echo "not finished: run the same steps again; or, once the old PersistentVolume is gone:" \
        "$apply $each" >&2
    fi
  done
}
trap remains EXIT
trap 'exit 1' HUP INT TERM

# see_volume FIELDS, see_claim FIELDS: print them; nothing if there is no such object.
see_volume() {
  kubectl get persistentvolume "$name" --ignore-not-found --output "jsonpath=$1"
}
see_claim() {
  kubectl get persistentvolumeclaim --namespace "$namespace" "$claim" \
    --ignore-not-found --output "jsonpath=$1"
}

# write FILE TEXT: the whole text or nothing, so that a full disk leaves no half of a file.
write() {
  printf '%s\n' "$2" >"$1.part"
  mv "$1.part" "$1"
}

# keep NAME UID: set Retain, unless the PersistentVolume is deleted or moved by now.
keep() {
  name=$1 uid=$2 saved=moved/$1.$2
  found=$(see_volume '{.metadata.uid} {.spec.csi.driver}')
  if test "$found" != "$uid $from"; then return; fi
  mkdir -p "$saved"
  if ! test -e "$saved/old.json"; then
    found=$(kubectl get persistentvolume "$name" --output json)
    write "$saved/old.json" "$found"
  fi
  # The cluster refuses the patch if the object has another UID.
  kubectl patch persistentvolume "$name" --patch \
    '{"metadata":{"uid":"'"$uid"'"},"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
}

# move NAME UID HANDLE CAPACITY NAMESPACE CLAIM UID: the new objects are its input.
move() {
  name=$1 uid=$2 handle=$3 capacity=$4 namespace=$5 claim=$6 claim_uid=$7 saved=moved/$1.$2
  new=$(cat)
  if test -e "$saved/done"; then return; fi
  found=$(see_volume '{.metadata.uid} {.spec.csi.driver} {.spec.csi.volumeHandle}')
  case $found in
    "$uid $from $handle") delete_old ;;
    *" $to $handle") if ! test -e "$saved/new.json"; then return; fi ;;
    "") test -e "$saved/new.json" || stop "$name is gone and $saved/new.json is not here: was" \
      "it deleted by these steps in another folder? If not, $again" ;;
    *) stop "$name is another PersistentVolume now; $again" ;;
  esac
  make_new
}

delete_old() {
  found=$(see_volume \
    '{.spec.persistentVolumeReclaimPolicy} {.spec.capacity.storage} {.spec.claimRef.uid}')
  test "$found" = "Retain $capacity $claim_uid" || stop "$name has changed; $again"
  found=$(kubectl get volumeattachment --output \
    'jsonpath={range .items[*]}{.spec.source.persistentVolumeName}{"\n"}{end}')
  if printf '%s\n' "$found" | grep -Fqx -e "$name"; then
    stop "$name is still attached; stop its pods, wait, and run these steps again"
  fi
  if test -n "$claim"; then
    delete_old_claim
  fi
  write "$saved/new.json" "$new"
  kubectl delete persistentvolume "$name"
}

delete_old_claim() {
  found=$(see_claim '{.metadata.uid} {.spec.volumeName}')
  if test "$found" != "$claim_uid $name"; then
    test -e "$saved/claim.json" || stop "claim $namespace/$claim is not the one that was bound" \
      "to $name (${found:-it is gone}); see why, and $again"
    return
  fi
  found=$(kubectl get persistentvolumeclaim --namespace "$namespace" "$claim" --output json)
  write "$saved/claim.json" "$found"
  write "$saved/new.json" "$new"
  kubectl delete persistentvolumeclaim --namespace "$namespace" "$claim"
}

make_new() {
  if test -n "$claim"; then
    found=$(see_claim '{.metadata.uid} {.spec.volumeName}')
    case $found in
      "") ;;
      "$claim_uid "*) stop "claim $namespace/$claim is still being deleted; a pod may use it" ;;
      *" $name") ;;
      *) stop "somebody made a claim $namespace/$claim meanwhile ($found); $name was bound to" \
        "that name: when the new claim is gone, run these steps again" ;;
    esac
  fi
  kubectl apply --filename "$saved/new.json"
  : >"$saved/done"
}
"""


def steps_from(reach: Reach, driver_name: str) -> str:
    """Return a script that moves every PersistentVolume of another driver to this one.

    Both drivers must use the same ids. The operator reads the script first. It deletes no volume,
    and it can be run again after it stopped at any line.

    Raises:
        KubernetesError: The cluster can't be read, or denies it.
        InvalidRequest: The other driver is this one.
    """
    if driver_name == reach.driver_name:
        raise InvalidRequest(f"--from-driver {driver_name} is this driver itself")
    volumes = [
        each
        for each in reach.kubernetes().list_persistent_volumes(reach.deadline())
        if each.driver_name == driver_name
    ]
    moved = [each for each in volumes if not _obstacle(each)]
    introduction = _INTRODUCTION.format(
        moved=len(moved),
        left=len(volumes) - len(moved),
        old=driver_name,
        new=reach.driver_name,
        quoted_old=shlex.quote(driver_name),
        quoted_new=shlex.quote(reach.driver_name),
        apply=shlex.quote(_words("kubectl", *reach.kubectl_flags, "apply", "--filename")),
    )
    steps = (
        *(line for each in volumes if _obstacle(each) for line in _left_alone(each)),
        "",
        *(f"keep {_words(each.name, each.uid)}" for each in moved),
        *(line for each in moved for line in _move(each, reach.driver_name)),
        *_afterwards(moved, reach),
    )
    return "\n".join((introduction + _wrapper(reach.kubectl_flags) + _FUNCTIONS, *steps, ""))


def _wrapper(flags: Sequence[str]) -> str:
    """Return a function that lets the script speak to the cluster that was read for it."""
    return f'kubectl() {{ command kubectl {_words(*flags)} "$@"; }}\n' if flags else ""


def _obstacle(volume: PersistentVolume) -> str:
    """Return why a PersistentVolume is not moved, empty if it is.

    The claim that one names is its own only while it is bound: after a claim was deleted and made
    again, the name belongs to the claim of another PersistentVolume.
    """
    try:
        VolumeId.parse(volume.handle)
    except NotFound:
        return "its handle is not <zone>/<id>. Create its PersistentVolume by hand."
    if volume.deleted_at:
        return "somebody has asked for its deletion."
    is_bound = volume.phase == "Bound" and volume.claim and volume.claim_uid
    if not is_bound and (volume.phase != "Available" or volume.claim):
        return (
            f"it is {volume.phase or 'new'} and has no claim that is bound to it. If you need its "
            f"volume: csi-exoblock import {volume.handle}"
        )
    if not volume.capacity_bytes:
        return f"its capacity {volume.capacity!r} can't be read."
    return ""


def _left_alone(volume: PersistentVolume) -> tuple[str, ...]:
    return "", _title(volume), printable(f"# Not moved: {_obstacle(volume)}")


def _title(volume: PersistentVolume) -> str:
    claim = "/".join(volume.claim or ()) or "none"
    return printable(f"# {volume.name}: volume {volume.handle}, claim {claim}")


def _move(volume: PersistentVolume, driver_name: str) -> Iterator[str]:
    known = (volume.name, volume.uid, volume.handle, volume.capacity)
    claim = (*(volume.claim or ("", "")), volume.claim_uid)
    yield from ("", _title(volume), f"move {_words(*known, *claim)} <<'END'")
    yield as_text(_moved(volume, driver_name).objects())
    yield "END"


def _afterwards(moved: Sequence[PersistentVolume], reach: Reach) -> Iterator[str]:
    deleted = [each for each in moved if each.is_deleted_with_claim]
    if deleted:
        yield ""
        yield "# Once the pods run again: these volumes were to be deleted with their claims."
        yield "# The cluster refuses a patch if the PersistentVolume has another driver or volume."
    for volume in deleted:
        source = {"driver": reach.driver_name, "volumeHandle": volume.handle}
        back = {"spec": {"csi": source, "persistentVolumeReclaimPolicy": "Delete"}}
        patch = ("patch", "persistentvolume", volume.name, "--patch", json.dumps(back))
        yield f"# {_words('kubectl', *reach.kubectl_flags, *patch)}"


def _moved(volume: PersistentVolume, driver_name: str) -> StaticVolume:
    return StaticVolume(
        name=volume.name,
        driver_name=driver_name,
        handle=volume.handle,
        capacity=volume.capacity,
        filesystem=volume.filesystem,
        volume_mode=volume.volume_mode,
        class_name=volume.class_name,
        access_modes=volume.access_modes,
        mount_options=volume.mount_options,
        is_read_only=volume.is_read_only,
        # Without the provisioner's attribute it is never formatted, unless another one says so.
        attributes={
            key: value
            for key, value in volume.attributes.items()
            if key.lower() != PROVISIONER_ATTRIBUTE
        },
        claim=volume.claim,
    )


def _words(*words: str) -> str:
    return " ".join(map(shlex.quote, words))
