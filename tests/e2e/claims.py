"""Hold the description against what Kubernetes' tests know: they ignore what they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

DRIVER: Final = Path(__file__).with_name("driver.yaml")

_STRUCTURES = Path("test/e2e/storage/framework/testdriver.go")
_DEFINITION = Path("test/e2e/storage/external/external.go")
_FIELD = re.compile(r"^\t(\w+)\s+\S", re.MULTILINE)
_CAPABILITY = re.compile(r'Cap\w+\s+Capability = "(\w+)"')


def unknown_claims(source: Path) -> Iterator[str]:
    """Yield what is wrong with the description, as lines to print.

    Args:
        source: The folder of Kubernetes' source.
    """
    described: Mapping[str, Any] = yaml.safe_load(DRIVER.read_text())
    structures, definition = ((source / path).read_text() for path in (_STRUCTURES, _DEFINITION))
    info = described["DriverInfo"]
    yield from _unknown("", described, _fields(definition, "driverDefinition"))
    yield from _unknown("DriverInfo.", info, _fields(structures, "DriverInfo"))
    for name, value in info.items():
        if name.endswith("Options"):
            yield from _unknown(f"DriverInfo.{name}.", value, _fields(structures, name))
    known = set(_CAPABILITY.findall(structures))
    yield from _unknown("DriverInfo.Capabilities.", info["Capabilities"], known)
    for name in sorted(known - set(info["Capabilities"])):
        yield f"DriverInfo.Capabilities.{name} is neither claimed nor denied"


def _unknown(where: str, described: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for name in sorted(set(described) - known):
        yield f"{where}{name} is unknown to Kubernetes' tests"


def _fields(text: str, structure: str) -> set[str]:
    """Return the fields of one structure of Go, those of structures inside it left out."""
    body = text.partition(f"type {structure} struct {{\n")[2].partition("\n}\n")[0]
    return set(_FIELD.findall(body))
