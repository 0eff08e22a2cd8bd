"""Write what is made from the chart's values.yaml: its README's table, and values.schema.json.

python -m tests.repository.chart_pages
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

CHART: Final = Path(__file__).parents[2] / "deploy" / "chart" / "csi-exoblock"
README: Final = CHART / "README.md"
SCHEMA: Final = CHART / "values.schema.json"

_VALUES = CHART / "values.yaml"
_TABLE = re.compile(r"(?<=<!-- values -->\n).*?(?=<!-- end of values -->)", re.DOTALL)
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_TAG = "@schema "
_SHORT = 60  # characters of a default that fit into the table

_REGISTRY = r"[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?"
_URL = "^(https?://[^ ]+)?$"
_DURATION = "^([0-9]+(h|m|s|ms))+$"
# What a value of this name looks like, wherever it is: a wrong one would be noticed much later, by
# a pod that does not start. A value's own `@schema` wins.
_PATTERNS: Final = {
    "apiEndpoint": _URL,
    "digest": "^(sha256:[0-9a-f]{64})?$",
    "driverName": "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$",
    "httpsProxy": _URL,
    "imageRegistry": f"^({_REGISTRY})?$",
    "interval": _DURATION,
    "kubeletPath": "^(/[^/ ]+)+$",
    # As the driver reads --label-prefix.
    "labelPrefix": "^[A-Za-z0-9][A-Za-z0-9./-]{0,62}$",
    "leaseDuration": _DURATION,
    # With a letter first: a Service's name has to.
    "nameOverride": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$",
    "registry": f"^{_REGISTRY}$",
    "renewDeadline": _DURATION,
    "retryPeriod": _DURATION,
}
# Kubernetes takes text only: of `true` and `1` it says no more than that it can't read the object.
_TEXTS: Final = ("annotations", "commonLabels", "labels", "podAnnotations", "podLabels")
# By these labels selectors and `csi-exoblock doctor` find the pods.
_FOUND_BY: Final = {f"app.kubernetes.io/{name}": False for name in ("name", "component", "part-of")}
# A DNS label that leaves room for `csi-exoblock-node-` before it and `-metrics` behind it. Not as
# `propertyNames`: Helm would name another value than the wrong one.
_SET_NAME: Final = "^[a-z0-9]([a-z0-9-]{0,35}[a-z0-9])?$"
# What a set of nodes in `node.additionalDaemonSets` shares with the main one.
_OF_THE_MAIN_SET: Final = ("additionalDaemonSets", "rbac", "serviceAccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the chart.

    Attributes:
        path: Its name, as `--set` takes it.
        schema: What narrows the schema that its default implies.
    """

    path: str
    default: object
    description: str
    schema: dict[str, object] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether it holds values of its own, which are described one by one."""
        is_open = bool(self.schema.get("additionalProperties"))
        return isinstance(self.default, dict) and bool(self.default) and not is_open


# Helm reads only what is in the chart's folder.
COPIES: Final = {
    CHART / "files" / name: CHART.parents[1] / "monitoring" / name
    for name in ("rules.yaml", "dashboard.json")
}


def main() -> None:
    """Write both files, and copy what the chart ships of other folders."""
    for copy, original in COPIES.items():
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(original.read_text())
    README.write_text(readme())
    SCHEMA.write_text(schema())


def readme() -> str:
    """Return the README with the table of today's values."""
    rows = [
        f"| `{value.path}` | {_shown(value.default)} | {value.description} |"
        for value in values()
        if not value.is_group
    ]
    table = "\n".join(["| Value | Default | Meaning |", "| --- | --- | --- |", *rows, ""])
    return _TABLE.sub(lambda _: table, README.read_text())


def schema() -> str:
    """Return the JSON schema, which refuses every value that is not in values.yaml."""
    described = {value.path: value for value in values()}
    root: dict[str, object] = {"$schema": "http://json-schema.org/draft-07/schema#"}
    root.update(_object(_defaults(), "", described))
    properties = root["properties"]
    assert isinstance(properties, dict)
    # Helm hands these to every chart that another one depends on.
    properties["global"] = {"type": "object"}
    node = properties["node"]["properties"]
    node["additionalDaemonSets"]["patternProperties"] = {_SET_NAME: _node_set(list(node))}
    return json.dumps(root, indent=2) + "\n"


def values() -> Iterator[Value]:
    """Yield every value in the order of values.yaml, groups before what they hold."""
    defaults = _defaults()
    path: list[str] = []
    comment: list[str] = []
    lists_at: int | None = None  # the indent of a list or an open object, whose keys are no values
    for line in _VALUES.read_text().splitlines():
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        key = _KEY.match(line)
        if lists_at is not None and (indent > lists_at or stripped.startswith("- ")):
            continue
        lists_at = None
        if key:
            del path[indent // 2 :]
            path.append(key[2])
            value = _value(path, defaults, comment)
            if isinstance(value.default, list) or value.schema.get("additionalProperties"):
                lists_at = indent
            yield value
        comment = []


def _defaults() -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(_VALUES.read_text())
    return loaded


def _value(path: list[str], defaults: dict[str, object], comment: list[str]) -> Value:
    default: object = defaults
    for key in path:
        assert isinstance(default, dict)
        default = default[key]
    tags = [line.removeprefix(_TAG) for line in comment if line.startswith(_TAG)]
    words = " ".join(line for line in comment if not line.startswith(_TAG))
    narrowed: dict[str, object] = json.loads(tags[0]) if tags else {}
    return Value(path=".".join(path), default=default, description=words, schema=narrowed)


def _object(
    default: dict[str, object], path: str, described: dict[str, Value]
) -> dict[str, object]:
    properties = {
        key: _schema(inner, f"{path}.{key}".lstrip("."), described)
        for key, inner in default.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema(default: object, path: str, described: dict[str, Value]) -> dict[str, object]:
    value = described[path]
    if isinstance(default, dict) and value.is_group:
        found = _object(default, path, described)
    elif isinstance(default, dict):
        found = {"type": ["object", "null"]}
    else:
        found = {"type": _type(default)}
    name = path.rpartition(".")[2]
    if pattern := _PATTERNS.get(name):
        found["pattern"] = pattern
    if name in _TEXTS:
        found["additionalProperties"] = {"type": "string"}
    if name in ("commonLabels", "podLabels"):
        found["properties"] = _FOUND_BY
    if value.description:
        found["description"] = value.description
    return {**found, **value.schema}


def _node_set(names: list[str]) -> dict[str, object]:
    """Return the schema of one more DaemonSet: values of `node`, checked like those."""
    own = [name for name in names if name not in _OF_THE_MAIN_SET]
    same = {name: {"$ref": f"#/properties/node/properties/{name}"} for name in own}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": same}


def _type(default: object) -> str:
    match default:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case list():
            return "array"
        case _:
            return "string"


def _shown(default: object) -> str:
    text = json.dumps(default, ensure_ascii=False)
    if default in ("", None):
        return ""
    return f"`{text}`" if len(text) <= _SHORT else "see `values.yaml`"


if __name__ == "__main__":
    main()
