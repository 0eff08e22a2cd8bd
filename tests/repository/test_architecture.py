"""The law of the house holds in every module, and it can be broken."""

import graphlib
import pathlib
import re

import pytest

import csi_exoblock
from tests.repository.architecture import (
    PACKAGE,
    Module,
    errors_without_a_code,
    every_breach,
    names_used,
)

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(csi_exoblock.__file__).parent


def modules() -> list[Module]:
    """Return every module of the package but the generated ones."""
    paths = [path for path in sorted(ROOT.rglob("*.py")) if path.parent != ROOT / "pb"]
    return [Module(name=module_name(path), source=path.read_text()) for path in paths]


def module_name(path: pathlib.Path) -> str:
    """Return the name of a file's module, without the package; its `__init__.py` is empty."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return "" if name == "__init__" else name


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name or PACKAGE)
def test_module_keeps_the_law(module: Module) -> None:
    assert list(every_breach(module)) == []


def test_every_module_is_in_the_list_of_rooms() -> None:
    _, _, rest = (ROOT.parent / "docs" / "architecture.md").read_text().partition("## Rooms")
    rooms = set(re.findall(r"\w+", rest.partition("\n## ")[0]))
    stems = [module.name.rpartition(".")[2] for module in modules()]

    assert set(stems) - rooms - {"", "__init__", "_build"} == set()


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = {module.name for module in modules()}

    def module_of(used: str) -> str:
        """Return the module that a name is in: `model` of `csi_exoblock.model.Volume`."""
        parts = used.split(".")[1:]
        tried = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next((each for each in tried if each in names), "")

    imports = {
        module.name: {
            module_of(used) for used in names_used(module) if used.startswith(f"{PACKAGE}.")
        }
        - {module.name, ""}
        for module in modules()
    }

    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the cycle


def test_every_error_has_a_status() -> None:
    by_name = {module.name: module for module in modules()}

    assert list(errors_without_a_code(by_name["errors"], by_name["csi.status"])) == []


@pytest.mark.parametrize(
    ("name", "line", "breach"),
    [
        # upward
        ("model", "from csi_exoblock.exoscale.client import ZoneClient", "must not import"),
        ("exoscale.client", "from csi_exoblock.controller import ledger", "must not import"),
        ("host.mounts", "from csi_exoblock import node", "must not import"),
        ("controller.volumes", "import csi_exoblock.csi.status", "must not import"),
        ("controller.volumes", "from csi_exoblock.pb import csi_pb2", "must not import"),
        ("csi.server", "from csi_exoblock.app import App", "must not import"),
        ("app", "from csi_exoblock.tools import demo", "must not import"),
        ("app", "from csi_exoblock import __main__", "must not import"),
        ("tools.demo", "from csi_exoblock.simulator.state.cloud import Cloud", "must not import"),
        ("simulator.state.cloud", "from csi_exoblock.simulator.http import wire", "not import"),
        # sideways
        ("controller.volumes", "from csi_exoblock.node.staging import Staging", "must not import"),
        ("node.staging", "from csi_exoblock.controller.volumes import Volumes", "must not import"),
        ("exoscale.client", "from csi_exoblock.host.commands import run", "must not import"),
        ("host.instance", "from csi_exoblock.exoscale.client import Client", "must not import"),
        ("controller.volumes", "from csi_exoblock.host.mounts import Mounts", "must not import"),
        ("node.staging", "from csi_exoblock.exoscale.client import Client", "must not import"),
        ("simulator.state.cloud", "from csi_exoblock.model import VolumeState", "must not import"),
        ("simulator.state.cloud", "from csi_exoblock import __version__", "must not import"),
        # hidden in a function, or for types only
        ("node.staging", "def stage():\n import csi_exoblock.exoscale.client", "must not import"),
        ("host.mounts", "if TYPE_CHECKING:\n from csi_exoblock.csi import x", "must not import"),
        # in the wrong room
        ("node.staging", "import subprocess", "must not use subprocess"),
        ("host.mounts", "from subprocess import run", "must not use subprocess"),
        ("tools.doctor", "def check():\n import subprocess", "must not use subprocess"),
        ("host.mounts", "import os\nos.system('mount')", "must not use os.system"),
        ("config", "import os\nos.environ['A']", "must not use os.environ"),
        ("config", "from os import environ as e", "must not use os.environ"),
        ("config", "import os as o\nvalue = o.getenv('A')", "must not use os.getenv"),
        ("app", "import sys\nsys.argv[1:]", "must not use sys.argv"),
        ("controller.volumes", "import grpc", "must not use grpc"),
        ("errors", "from grpc import StatusCode", "must not use grpc"),
        ("tools.doctor", "import google.protobuf.message", "must not use google.protobuf"),
        ("host.instance", "import requests", "must not use requests"),
        ("csi.server", "from requests.adapters import HTTPAdapter", "must not use requests"),
        ("host.devices", "import prometheus_client", "must not use prometheus_client"),
        ("host.jobs", "import time\ntime.sleep(delay)", "must not use time.sleep"),
        ("simulator.state.cloud", "from time import sleep", "must not use time.sleep"),
        ("host.jobs", "import importlib\nimportlib.import_module('x')", "must not use importlib"),
        ("host.jobs", "import numpy", "unlisted package numpy"),
        # a duration of its own
        ("host.jobs", "POLL_SECONDS = 0.5", "belongs to timing.py"),
        ("host.jobs", "run(argv, timeout=30)", "belongs to timing.py"),
        ("host.jobs", "run(argv, timeout_seconds=2 * 60)", "belongs to timing.py"),
        ("host.jobs", "event.wait(5)", "belongs to timing.py"),
        ("host.jobs", "def run(argv, *, timeout_seconds=30.0): ...", "belongs to timing.py"),
        ("host.jobs", "def run(argv, poll_interval=1, flag=None): ...", "belongs to timing.py"),
        # shape
        ("host.jobs", "x = 1\n" * 400, "longer than 400 lines"),
        ("host.jobs", "class Jobs: ...", "Jobs has no docstring"),
        ("host.__init__", "", "holds nothing"),
        ("utilities", "", "room utilities has no place"),
    ],
)
def test_law_finds_what_breaks_it(name: str, line: str, breach: str) -> None:
    planted = Module(name=name, source=f'"""Do one thing."""\n\n{line}\n')

    assert any(breach in found for found in every_breach(planted))


def test_law_wants_a_docstring() -> None:
    assert list(every_breach(Module(name="host.jobs", source="import os\n"))) == [
        "host.jobs: its docstring, which names the one thing it does, is missing"
    ]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("__main__", "import os\nimport sys\nimport click\nos.environ, sys.argv"),
        (
            "__main__",
            "from csi_exoblock.simulator import command\nfrom csi_exoblock.tools import demo",
        ),
        ("app", "from csi_exoblock.csi import server\nfrom csi_exoblock import __version__"),
        ("csi.controller", "import grpc\nfrom csi_exoblock.pb import csi_pb2_grpc"),
        ("csi.controller", "from csi_exoblock.controller.volumes import Volumes"),
        ("exoscale.transport", "import requests\nfrom exoscale_auth import ExoscaleV2Auth"),
        ("host.commands", "import subprocess\nsubprocess.run(argv, timeout=timeout_seconds)"),
        ("host.jobs", "thread.join(timing.grace)\n', '.join(words)\nevent.wait(0)"),
        ("simulator.disks.loop_disks", "import subprocess\nDELAY_SECONDS = 1.0"),
        ("tools.demo_client", "import grpc\nimport rich.console"),
    ],
)
def test_law_allows_what_the_design_allows(name: str, source: str) -> None:
    assert list(every_breach(Module(name=name, source=f'"""Do one thing."""\n\n{source}\n'))) == []


def test_law_finds_an_error_without_a_status() -> None:
    errors = Module(
        name="errors",
        source="class Top(Exception): ...\nclass Known(Top): ...\nclass Forgotten(Top): ...\n",
    )
    status = Module(name="csi.status", source="CODES = {Known: 1}\n")

    assert list(errors_without_a_code(errors, status)) == ["Forgotten has no row in csi/status.py"]
