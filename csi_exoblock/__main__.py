"""The command line: the only reader of argv and environment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from csi_exoblock import __version__, logs, versions
from csi_exoblock.config import ApiSettings, ControllerSettings
from csi_exoblock.errors import DriverError
from csi_exoblock.escaping import printable
from csi_exoblock.flags import options, settings, tool_options
from csi_exoblock.flags.durations import (
    CLOUD_TIMING,
    NODE_TIMING,
    ORPHANS_TIMING,
    PRE_STOP_TIMING,
    SERVER_TIMING,
)
from csi_exoblock.flags.inherited import of_cluster, of_container

if TYPE_CHECKING:
    from csi_exoblock.tools.examinations import Examination
    from csi_exoblock.tools.reach import Reach

# The sidecars run 360 workers together, and Probe must always find one that is free (S21).
_CONTROLLER_WORKERS = 390
_NODE_WORKERS = 32

# Commands that read the cloud and cluster of the driver in whose container they run.
_TOOLS = ("doctor", "import", "orphans", "status")

_FAILED = 1
_WRONG_USAGE = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command that argv names; report an error in one line."""
    # gRPC's core writes to stderr in its own format; the driver logs what matters.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Until a command has something to clean up, Ctrl-C ends the process silently.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        inherited = of_container()
        defaults = dict.fromkeys(_TOOLS, inherited)
        sys.exit(command.main(standalone_mode=False, default_map=defaults))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(_WRONG_USAGE)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    except (OSError, DriverError) as error:
        _end(str(error), _FAILED)


def complete() -> None:
    """Print completions for the words in argv, which kubectl passes."""
    from csi_exoblock.tools import completion

    click.echo(completion.answer(command, sys.argv[1:]))


def _end(message: str, code: int) -> None:
    click.echo(f"csi-exoblock: {printable(' '.join(message.split()))}", err=True)
    sys.exit(code)


def _simulator() -> click.Command:
    from csi_exoblock.simulator.command import simulator

    return simulator


def _demo() -> click.Command:
    try:
        from csi_exoblock.tools.demo import demo
    except ModuleNotFoundError as error:
        return _Unavailable("demo", help=f"{error.name} is missing; install csi-exoblock[demo].")
    return demo


class _Unavailable(click.Command):
    """A command whose packages aren't installed; its help names them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raise UsageError for any arguments."""
        raise click.UsageError(self.help or "")


class _Commands(click.Group):
    """The commands; simulator and demo are imported only when they are used."""

    lazily: Mapping[str, Callable[[], click.Command]] = {
        "simulator": _simulator,
        "demo": _demo,
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name that `--help` lists."""
        return [*self.commands, *self.lazily]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        load = self.lazily.get(cmd_name)
        return load() if load else super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Serve Exoscale Block Storage to Kubernetes, over CSI."""


@command.command()
@options.server(workers=_CONTROLLER_WORKERS)
@options.kubernetes()
@options.cloud()
@options.timing({**SERVER_TIMING, **CLOUD_TIMING})
def controller(**given: Any) -> None:
    """Serve volumes and snapshots; needs the API key, not root."""
    _serve(given, controller=True, node=False)


@command.command()
@options.server(workers=_NODE_WORKERS)
@options.kubernetes()
@options.own_node()
@options.node()
@options.timing({**SERVER_TIMING, **NODE_TIMING})
def node(**given: Any) -> None:
    """Serve the volumes of this host; needs root, no API key."""
    _serve(given, controller=False, node=True)


@command.command("all")
@options.server(workers=_CONTROLLER_WORKERS)
@options.kubernetes()
@options.cloud()
@options.own_node()
@options.node()
@options.timing({**SERVER_TIMING, **CLOUD_TIMING, **NODE_TIMING})
def both(**given: Any) -> None:
    """Serve both in one process, for tests and single machines."""
    _serve(given, controller=True, node=True)


@command.command("pre-stop")
@options.pre_stop()
@options.kubernetes()
@options.own_node()
@options.timing(PRE_STOP_TIMING)
def before_stop(**given: Any) -> None:
    """Wait until the volumes of a drained node are detached."""
    from csi_exoblock.tools import pre_stop

    pre_stop.run(
        settings.kubernetes_settings(given, environment=os.environ),
        driver_name=given["driver_name"],
        daemon_set=given["daemon_set"],
        registration_path=given["registration_path"],
        timing=settings.timing_of(given),
        say=lambda line: click.echo(printable(line), err=True),
    )


@command.command("iam-role")
def iam_role() -> None:
    """Print the smallest IAM role for the API key, as JSON."""
    from csi_exoblock.tools.iam_role import as_json

    click.echo(as_json())


@command.command()
@tool_options.tool("text", "json", "commands")
@options.kubernetes()
@options.api()
@options.ownership()
@options.timing(ORPHANS_TIMING)
def orphans(**given: Any) -> int:
    """List resources that only the cloud or only Kubernetes knows.

    Those are volumes, snapshots, and PersistentVolumes without a volume.
    """
    from csi_exoblock.tools import orphans as tool
    from csi_exoblock.tools.terminal import draw_for

    found, now = tool.find(_reach(given))
    match given["output"]:
        case "json":
            click.echo(tool.as_json(found))
        case "commands":
            click.echo(tool.as_commands(found))
        case _:
            click.echo(tool.as_text(found, now, draw_for(sys.stdout)))
    return _FAILED if found.found or found.unread else 0


@command.command()
@tool_options.tool("text", "json")
@tool_options.watch()
@options.kubernetes()
@options.api()
@options.ownership()
@options.timing({})
def status(**given: Any) -> int:
    """Show each claim with its volume, and what it waits for."""
    from csi_exoblock.tools import facts, status
    from csi_exoblock.tools.terminal import draw_for

    reach = _reach(given)
    while True:
        seen = facts.gather(reach)
        rows = status.rows(seen)
        if given["output"] == "json":
            text = status.as_json(rows, seen)
        else:
            text = status.as_text(rows, seen, draw_for(sys.stdout))
        if given["watch"] and sys.stdout.isatty():
            click.clear()
        click.echo(text)
        if not given["watch"]:
            return _FAILED if seen.unread or any(row.is_wrong for row in rows) else 0
        reach.rest()


@command.command()
@tool_options.tool("text", "json")
@tool_options.doctor()
@options.kubernetes()
@options.own_node()
@options.host()
@options.api()
@options.ownership()
@options.timing({})
def doctor(**given: Any) -> int:
    """Check the installation; report each fault with its remedy."""
    from csi_exoblock.tools import bundle, doctor
    from csi_exoblock.tools.terminal import draw_for

    archive = given["bundle"]
    stream = sys.stderr if archive == bundle.STANDARD_OUTPUT else sys.stdout
    if archive:
        bundle.require_place(archive)
    examination = _examination(given)
    findings = doctor.run(examination.checks)
    if given["output"] == "json":
        text = doctor.as_json(findings)
    else:
        text = doctor.as_text(
            findings,
            verbose=given["verbose"],
            unseen=examination.unseen,
            draw=draw_for(stream),
        )
    click.echo(text, file=stream)
    if archive:
        secrets = bundle.secrets_of(
            None if given["node"] else _api_settings(given),
            settings.kubernetes_settings(given, environment=os.environ),
        )
        bundle.write(archive, findings, examination.collect, secrets)
    return 0 if doctor.is_well(findings) else _FAILED


def _examination(given: settings.Given) -> Examination:
    from csi_exoblock.app.inspection import inspected_host
    from csi_exoblock.tools import examinations

    if not given["node"]:
        return examinations.of_cluster(_reach(given, reads_once=True))
    host = inspected_host(
        settings.host_settings(given),
        settings.kubernetes_settings(given, environment=os.environ),
        driver_name=given["driver_name"],
        timing=settings.timing_of(given),
    )
    return examinations.of_node(host)


@command.command("import")
@click.argument("id", required=False)
@tool_options.tool()
@tool_options.importing()
@options.kubernetes()
@options.api()
@options.ownership()
@options.timing({})
def import_(**given: Any) -> None:
    """Print the objects that import a volume or snapshot.

    They are PersistentVolume and claim for a volume, content and snapshot for a snapshot. With
    --from-driver print the steps that move every PersistentVolume of another driver to this one.
    """
    from csi_exoblock.tools import importing, moving

    if bool(given["id"]) == bool(given["from_driver"]):
        raise click.UsageError("give either ZONE/UUID or --from-driver")
    reach = _reach(given)
    if given["from_driver"]:
        click.echo(moving.steps_from(reach, given["from_driver"]))
        return
    target = importing.Target(
        namespace=given["namespace"] or reach.namespace(),
        name=given["name"],
        filesystem=given["fstype"],
        partition=given["partition"],
    )
    click.echo(importing.as_text(importing.objects_for(reach, given["id"], target)))


@command.command()
def version() -> None:
    """Print the version, the git commit and the CSI version."""
    click.echo(versions.in_one_line())


def _reach(given: settings.Given, *, reads_once: bool = False) -> Reach:
    from csi_exoblock.tools.reach import Reach, Wanted

    reach = Reach(
        Wanted(
            api=_api_settings(given),
            driver_name=given["driver_name"],
            ownership=partial(_ownership, given),
            cluster=settings.kubernetes_settings(given, environment=os.environ),
            kubeconfig=given["kubeconfig"],
            context=given["context"],
            timing=settings.timing_of(given),
        ),
        reads_once=reads_once,
    )
    click.get_current_context().call_on_close(reach.close)
    return reach


def _ownership(given: settings.Given, installed: Mapping[str, str]) -> ControllerSettings:
    """Return what tells this cluster's volumes, by the installed driver's flags unless given."""
    return settings.ownership_settings({**given, **of_cluster(installed, settings.OWNERSHIP)})


def _api_settings(given: settings.Given) -> ApiSettings:
    return settings.api_settings(
        given, environment=os.environ, user_agent=f"csi-exoblock/{__version__}"
    )


def _serve(given: settings.Given, *, controller: bool, node: bool) -> None:
    from csi_exoblock.app import memory

    memory.keep_small()  # before gRPC is imported, which starts threads
    from csi_exoblock.app import process  # importing gRPC takes a third of a second

    server = settings.server_settings(given)
    api = _api_settings(given) if controller else None
    control = settings.controller_settings(given) if controller else None
    host = settings.node_settings(given) if node else None
    cluster = settings.kubernetes_settings(given, environment=os.environ)
    lines = logs.configure(
        json_lines=given["log_format"] == "json",
        level=given["log_level"],
        stream=sys.stderr,
        patience_seconds=server.timing.log_patience,
    )
    code = process.run(server, api=api, controller=control, node=host, cluster=cluster, lines=lines)
    lines.flush()
    # A thread might hang in the kernel on a dead disk, or on a pipe that nobody reads. Python's
    # normal exit would wait for it for ever.
    os._exit(code)


if __name__ == "__main__":
    main()
