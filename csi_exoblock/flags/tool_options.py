"""The flags of the operator's commands, beside those of the services."""

from __future__ import annotations

from pathlib import Path

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
    """Add the flag that repeats a command's output."""
    return click.option("--watch", is_flag=True, help="Repeat every few seconds until Ctrl-C.")


def importing() -> Decorator:
    """Add the flags of a command that imports an existing volume."""
    return combined(
        option(
            "--from-driver",
            Read("name", types.driver_name),
            None,
            "Driver whose volumes are moved, all of them.",
        ),
        option(
            "--namespace",
            Read("name", types.object_name),
            "",
            "Namespace of the claim; by default that of the context, in a pod `default`.",
        ),
        option(
            "--name", Read("name", types.object_name), "", "Name of PersistentVolume and claim."
        ),
        option(
            "--fstype",
            click.Choice([*(each.value for each in Filesystem), "block"]),
            Filesystem.EXT4.value,
            "File system of the volume; block for a raw device.",
        ),
        option("--partition", click.IntRange(1, 128), None, "Number of the partition to mount."),
    )


def doctor() -> Decorator:
    """Add the flags of the command that checks an installation."""
    return combined(
        click.option("--verbose", is_flag=True, help="Show passed checks too."),
        click.option(
            "--node",
            is_flag=True,
            help="Check this node, in the pod of the node plugin; needs root, no API key.",
        ),
        click.option(
            "--bundle",
            type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
            metavar="FILE",
            help="Also write a new archive with logs, states and this report, without secrets; "
            "- writes it to standard output, and the report to standard error.",
        ),
    )
