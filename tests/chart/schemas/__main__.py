"""Write what the tests know of each Kubernetes: schemas for manifests, and resources it serves.

python -m tests.chart.schemas 1.34.4 1.35.4 1.36.3 1.37.2

They come from the OpenAPI description in Kubernetes' Go module, less the words and all that no
manifest of the chart needs. Custom resources are checked by the API server in `tests/install`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.chart.schemas.kinds import FOLDER, KINDS

_PATH: Final = re.compile(
    r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/{namespace})?/([a-z]+)(?:/{name}(?:/([a-z]+))?)?"
)


def main(versions: list[str]) -> None:
    """Write the schemas of these versions, in place of those that are there."""
    for old in FOLDER.glob("*.json.zlib"):
        old.unlink()
    for version in versions:
        asked = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
        listed = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        swagger = Path(json.loads(listed)["Dir"]) / "api" / "openapi-spec" / "swagger.json"
        described = json.loads(swagger.read_text())
        known = {
            "definitions": _needed(described["definitions"]),
            "resources": sorted(set(_resources(described["paths"]))),
        }
        text = json.dumps(known, sort_keys=True, separators=(",", ":"))
        minor = version.rpartition(".")[0]
        (FOLDER / f"{minor}.json.zlib").write_bytes(zlib.compress(text.encode(), 9))


def _needed(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the definitions that the chart's kinds need, strict and without words."""
    waiting = [name for name, each in definitions.items() if set(_kinds(each)) & set(KINDS)]
    found: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _strict(definitions[name], is_definition=True)
        waiting += _referred(found[name])
    return found


def _resources(paths: Iterable[str]) -> Iterator[str]:
    """Yield group, version and resource of each path; of a subresource its name too."""
    for path in paths:
        if found := _PATH.fullmatch(path):
            yield "/".join(filter(None, found.groups()))


def _kinds(definition: dict[str, Any]) -> Iterator[str]:
    for each in definition.get("x-kubernetes-group-version-kind", ()):
        group = f"{each['group']}/" if each["group"] else ""
        yield f"{group}{each['version']}/{each['kind']}"


def _strict(schema: Any, *, is_definition: bool = False) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: _strict(each) for name, each in value.items()}
        if key == "properties"
        else _strict(value)
        for key, value in schema.items()
        if key != "description" and not key.startswith("x-") and key != "format"
    }
    if schema.get("format") == "int-or-string":
        kept["type"] = ["integer", "string"]
    if is_definition and "properties" in kept:
        kept["additionalProperties"] = False
    if is_definition and (names := list(_kinds(schema))):
        kept["x-kinds"] = names
    return kept


def _referred(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        for each in schema.values():
            yield from _referred(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _referred(each)


if __name__ == "__main__":
    main(sys.argv[1:])
