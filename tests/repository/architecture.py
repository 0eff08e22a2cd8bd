"""The law of the house, as functions: what each module may import, call and hold.

Every law takes one module and yields the breaches it finds there, so that test_architecture.py can
hold it against the package as well as against bad code of its own. Imports inside functions and
under TYPE_CHECKING count like all others.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

PACKAGE = "csi_exoblock"

# Rooms from the top of the house down, and what each may import beside itself. Controller and node
# are siblings, and so are exoscale and host: neither of a pair may know the other.
BASE = frozenset(
    {
        "",
        "_build",
        "allowlists",
        "calls",
        "capacity",
        "commandline",
        "concurrency",
        "config",
        "credentials",
        "errors",
        "escaping",
        "lines",
        "logs",
        "metrics",
        "model",
        "options",
        "states",
        "threads",
        "timing",
        "versions",
    }
)
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(BASE, BASE),
    "background": BASE,
    "flags": BASE,
    "probes": BASE | {"web"},
    "web": BASE | {"pool"},
    "pool": BASE,
    "kubernetes": BASE,
    "host": BASE,
    "exoscale": BASE,
    "node": BASE | {"host"},
    "controller": BASE | {"exoscale"},
    "csi": BASE | {"pb", "pool", "controller", "node", "exoscale", "host"},
    "app": BASE
    | {
        "background",
        "probes",
        "web",
        "csi",
        "controller",
        "node",
        "exoscale",
        "host",
        "kubernetes",
    },
    "tools": BASE | {"app", "pb", "csi", "controller", "node", "exoscale", "host", "kubernetes"},
    "simulator": frozenset(),
    "__main__": BASE | {"flags", "app", "tools", "simulator"},
}

# The folders of the simulator: each may import itself and those before it.
SIMULATOR = ("state", "rules", "disks", "faults", "time", "settings", "http", "command")

# What only some modules may use, be it a module of the standard library, a name in one, or a
# foreign package; patterns as in a shell. What is foreign and not listed may be used nowhere.
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "aiohttp": ("simulator.*",),
    "click": ("__main__", "flags.*", "simulator.command", "tools.*"),
    "exoscale_auth": ("exoscale.*",),
    "google.protobuf": ("csi.*", "tools.demo*"),
    "grpc": ("csi.*", "tools.demo*"),
    "importlib.import_module": (),
    "os.environ": ("__main__",),
    "os.environb": (),
    "os.getenv": (),
    "os.popen": (),
    "os.system": (),
    "prometheus_client": ("app.*", "metrics", "probes"),
    "requests": ("exoscale.*",),
    "rich": ("tools.*",),
    "subprocess": (
        "host.commands",
        "host.jobs",
        "simulator.disks.*",
        "tools.demo*",
        "tools.kubectl",
    ),
    "sys.argv": ("__main__",),
    "time.sleep": (),
    "urllib3": ("exoscale.*",),
}

# Names that hold a duration, and calls whose first argument is one.
DURATION = re.compile(r"(^|_)(seconds|timeout|interval|delay|ttl)$", re.IGNORECASE)
WAITS = frozenset({"join", "result", "sleep", "wait", "within"})

# Not a wait, but where one ends that has no end: a caller may set no deadline at all.
ENDLESS = "_LONGEST_SECONDS"

LINES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module's source.

    Attributes:
        name: Dotted, without the package: `host.commands`; the package itself is empty.
    """

    name: str
    source: str

    @property
    def room(self) -> str:
        """The part of the house it lives in."""
        return self.name.partition(".")[0]

    @property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.source)


def every_breach(module: Module) -> Iterator[str]:
    """Hold every law against one module."""
    laws = (imports_point_down, simulator_points_down, uses_are_in_place)
    for law in (*laws, no_duration, has_good_shape):
        for breach in law(module):
            yield f"{module.name or '__init__'}: {breach}"


def imports_point_down(module: Module) -> Iterator[str]:
    """A room imports only itself and what MAY_IMPORT gives it."""
    if module.room not in MAY_IMPORT:
        yield f"room {module.room} has no place in MAY_IMPORT"
        return
    for name in names_used(module):
        package, _, inner = name.partition(".")
        room = inner.partition(".")[0]
        if package != PACKAGE or room == module.room:
            continue
        # A plain name of the package itself, such as __version__, belongs to no room.
        if room in MAY_IMPORT or room == "pb":
            if room not in MAY_IMPORT[module.room]:
                yield f"must not import {name}"
        elif "" not in MAY_IMPORT[module.room]:
            yield f"must not import {name}"


def simulator_points_down(module: Module) -> Iterator[str]:
    """A folder of the simulator imports only itself and those that SIMULATOR has before it."""
    room, _, inner = module.name.partition(".")
    if room != "simulator" or is_package(module):
        return
    own = SIMULATOR.index(inner.partition(".")[0])
    for name in names_used(module):
        folder = name.removeprefix(f"{PACKAGE}.simulator.").partition(".")[0]
        if name.startswith(f"{PACKAGE}.simulator.") and SIMULATOR.index(folder) > own:
            yield f"must not import {name}"


def uses_are_in_place(module: Module) -> Iterator[str]:
    """What ONLY_IN lists is used nowhere else; what is foreign and not listed, nowhere at all."""
    for name in names_used(module):
        if name.partition(".")[0] == PACKAGE:
            continue
        owner = next((each for each in ONLY_IN if f"{name}.".startswith(f"{each}.")), None)
        if owner is not None:
            if not any(fnmatch(module.name, pattern) for pattern in ONLY_IN[owner]):
                yield f"must not use {name}"
        elif name.partition(".")[0] not in sys.stdlib_module_names:
            yield f"uses the unlisted package {name}"


def no_duration(module: Module) -> Iterator[str]:
    """A number of seconds stands in Timing only; simulator and demo have times of their own."""
    if module.name in ("timing", "tools.demo_timing") or module.room == "simulator":
        return
    for node in ast.walk(module.tree):
        for name, value in named_values(node):
            if name != ENDLESS and DURATION.search(name) and is_duration(value):
                yield f"line {value.lineno}: {name} = {ast.unparse(value)} belongs to timing.py"


def has_good_shape(module: Module) -> Iterator[str]:
    """Short enough, its purpose in its first line; `__init__.py` holds nothing."""
    tree = module.tree
    if module.source.count("\n") > LINES:
        yield f"is longer than {LINES} lines; look for the second idea in it"
    if is_package(module):
        if tree.body and module.name:
            yield "an __init__.py holds nothing"
        return
    purpose = ast.get_docstring(tree)
    if not purpose:
        yield "its docstring, which names the one thing it does, is missing"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"line {node.lineno}: {node.name} has no docstring"


def errors_without_a_code(errors: Module, status: Module) -> Iterator[str]:
    """Every error that is raised, so each without a subclass, is named in the table of codes."""
    classes = [node for node in errors.tree.body if isinstance(node, ast.ClassDef)]
    parents = {ast.unparse(base) for node in classes for base in node.bases}
    named = {node.id for node in ast.walk(status.tree) if isinstance(node, ast.Name)}
    named |= {node.attr for node in ast.walk(status.tree) if isinstance(node, ast.Attribute)}
    for node in classes:
        if node.name not in parents | named:
            yield f"{node.name} has no row in csi/status.py"


def names_used(module: Module) -> Iterator[str]:
    """Yield all that a module imports and every attribute it reads of an import, in full."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                bound = each.asname or each.name.partition(".")[0]
                aliases[bound] = each.name if each.asname else bound
                yield each.name
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                aliases[each.asname or each.name] = f"{node.module}.{each.name}"
                yield f"{node.module}.{each.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in aliases and aliases[first].partition(".")[0] != PACKAGE:
                yield f"{aliases[first]}.{rest}"


def named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the values that a node binds to a name: assigned, passed, defaulted, waited for."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Call(func=ast.Attribute(attr=name), args=[first, *_]) if name in WAITS:
            yield f"{name}_seconds", first
        case ast.arguments():
            positional = [*node.posonlyargs, *node.args]
            pairs = [
                *zip(reversed(positional), reversed(node.defaults), strict=False),
                *zip(node.kwonlyargs, node.kw_defaults, strict=True),
            ]
            yield from ((argument.arg, value) for argument, value in pairs if value)


def is_duration(value: ast.expr) -> bool:
    """Tell whether an expression is a plain number other than zero, perhaps calculated."""
    if isinstance(value, ast.BinOp):
        return is_duration(value.left) and is_duration(value.right)
    return (
        isinstance(value, ast.Constant)
        and isinstance(value.value, int | float)
        and not isinstance(value.value, bool)
        and value.value != 0
    )


def is_package(module: Module) -> bool:
    """Tell whether a module is an `__init__.py`."""
    return module.name == "" or module.name.endswith(".__init__")
