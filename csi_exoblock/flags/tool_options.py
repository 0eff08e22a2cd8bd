"""The flags of the commands that an operator types, beside those of the services."""

from __future__ import annotations

import click

from csi_exoblock.flags import types
from csi_exoblock.flags.options import PATH, Decorator, combined, driver_name, option
from csi_exoblock.flags.types import Read
from csi_exoblock.model import Filesystem


def tool(*outputs: str) -> Decorator:
    """Add the flags of a command that compares cloud and cluster and prints the differences.

    Args:
        outputs: The formats of its output, the default first; none if there is no choice.
    """
    return combined(
        driver_name(),
        *(
            option("--output", click.Choice(outputs), usual, "Output format.")
            for usual in outputs[:1]
        ),
        option(
            "--kubeconfig",
            PATH,
            None,
            "Kubeconfig for kubectl, which is used outside of a pod; by default kubectl's own.",
        ),
        option("--context", Read("name", types.context), "", "Context in the kubeconfig."),
    )


def watch() -> Decorator:
    """Add the flag that repeats what a command shows."""
    return click.option("--watch", is_flag=True, help="Look again every few seconds, until Ctrl-C.")


def importing() -> Decorator:
    """Add the flags that say what becomes of a volume that exists."""
    return combined(
        option("--from-driver", Read("name", types.driver_name), None, "Move all of its volumes."),
        option("--namespace", Read("name", types.object_name), "default", "Of the claim."),
        option("--name", Read("name", types.object_name), "", "Of PersistentVolume and claim."),
        option(
            "--fstype",
            click.Choice([*(each.value for each in Filesystem), "block"]),
            Filesystem.EXT4.value,
            "What is on the volume; block for a raw device.",
        ),
        option("--partition", click.IntRange(1, 128), None, "Mount this partition of it."),
    )


def verbose() -> Decorator:
    """Add the flag that shows what is well too."""
    return click.option("--verbose", is_flag=True, help="Show what is well too.")
