"""Who may import whom, how large files may grow, and that every setting is read somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from cra_lib import config
from cra_lib.datasets import DATASETS

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "cra_lib"
MODULES = sorted(path for path in LIB.rglob("*.py"))

LAYERS = (
    ("__main__",),
    ("cli",),
    ("reporting", "released"),
    ("reproduction",),
    ("training",),
    ("inference",),
    ("model", "causal"),
    ("data",),
    ("video",),
    ("config",),
    ("evaluator",),
    ("paths",),
    ("datasets",),
    ("records",),
    ("__init__",),
)
"""Rooms of the library from the roof down: a file imports from floors below its own, or from its
own room, never from another room of its floor."""
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}
NO_TORCH = ("evaluator", "reporting", "reproduction", "records", "datasets", "config", "paths")
"""Rooms that never import torch or what brings it, not even inside a function."""
HEAVY = {"torch", "lightning", "lightning_fabric", "transformers", "torchvision"}
DRAWING = {"matplotlib", "seaborn", "pandas"}


def room_of(path: Path) -> str:
    return path.relative_to(LIB).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names that a module imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def modules_imported(path: Path) -> set[Path]:
    """Files of the library that a module imports by name (a package counts as its ``__init__``)."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != LIB.name:
            continue
        for depth in (len(parts), len(parts) - 1):  # a module, or a name inside one
            target = ROOT.joinpath(*parts[:depth])
            files = [f for f in (target.with_suffix(".py"), target / "__init__.py") if f.is_file()]
            if files:
                found.add(files[0])
                break
    return found - {path}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_imports_point_down(path):
    room = room_of(path)
    assert room in FLOOR, f"{room} has no floor; give it one in LAYERS"
    for target in map(room_of, modules_imported(path)):
        assert target == room or FLOOR[target] > FLOOR[room], f"{room} may not import {target}"


def test_no_file_imports_itself_by_way_of_others():
    graph = {path: modules_imported(path) for path in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_the_house_has_few_rooms():
    rooms = {room_of(path) for path in MODULES}
    assert rooms == set(FLOOR) and len(rooms) <= 17


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_scoring_and_drawing_do_without_torch(path):
    outside = {name.split(".")[0] for name in imports(path)}
    if room_of(path) in NO_TORCH:
        assert not outside & HEAVY
    if room_of(path) == "evaluator":
        assert not outside & DRAWING


def test_only_the_notebook_runner_knows_papermill():
    users = {p.name for p in MODULES if any(n.startswith("papermill") for n in imports(p))}
    assert users == {"notebook.py"}


def test_only_the_workflow_knows_snakemake():
    users = {path.name for path in MODULES if any(n.startswith("snakemake") for n in imports(path))}
    assert users == set()


OTHER_MATTERS = ("saving", "parameters", "lookup")
"""How the network is written to a file, counted, and made faster with the same bits."""
METHOD = [p for p in (LIB / "model").glob("*.py") if p.stem not in OTHER_MATTERS]
"""The network on Temp[CLIP]."""


@pytest.mark.parametrize("path", METHOD, ids=lambda p: p.stem)
def test_the_model_names_no_device(path):
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\.cuda\(|\.cpu\(|\"cuda|'cuda", source)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_files_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "no module docstring"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_functions_fit_a_screen(path):
    """A command's declaration of its options counts, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno >= 60]
    assert not long, f"more than 60 lines: {', '.join(long)}"


def test_the_model_can_be_read_in_one_sitting():
    lines = [line for p in METHOD for line in p.read_text(encoding="utf-8").splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= 940, "lines that are not blank"


def test_the_frozen_backbone_can_be_read_in_one_sitting():
    paths = (LIB / "model" / "frozen_bilm").glob("*.py")
    lines = [line for p in paths for line in p.read_text(encoding="utf-8").splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= 800, "lines that are not blank"


SECTIONS = {
    name: getattr(config, name)
    for name in ("DataConfig", "CausalConfig", "ModelConfig", "TrainConfig", "SpanConfig")
}


SECTION_OF = {name.removesuffix("Config").lower(): name for name in SECTIONS}
"""Attribute of a `RunConfig` -> the class of that section."""
TYPES = {**{name: name for name in SECTIONS}, "SpanSettings": "SpanConfig"}
"""Annotation of a parameter -> the section that it holds."""


def section_of(node: ast.AST | None, bound: dict[str, str]) -> str | None:
    """The section that an expression is: a name bound to one, or `config.train` and its like."""
    if isinstance(node, ast.Name):
        return bound.get(node.id)
    if isinstance(node, ast.Attribute) and ast.unparse(node) in bound:
        return bound[ast.unparse(node)]
    if not isinstance(node, ast.Attribute) or node.attr not in SECTION_OF:
        return None
    owner = node.value
    name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
    return SECTION_OF[node.attr] if name == "config" else None


def fields_of_records(scope: ast.AST) -> dict[str, str]:
    """`Record.field` -> the section that a field of a class in this scope is annotated with."""
    return {
        f"{record.name}.{ast.unparse(field.target)}": TYPES[ast.unparse(field.annotation)]
        for record in ast.iter_child_nodes(scope)
        if isinstance(record, ast.ClassDef)
        for field in record.body
        if isinstance(field, ast.AnnAssign) and ast.unparse(field.annotation) in TYPES
    }


def bindings(function: ast.AST, outer: dict[str, str]) -> dict[str, str]:
    """What holds a section inside a function: parameters, their fields, names assigned to."""
    bound = outer | fields_of_records(function)
    arguments = getattr(function, "args", None)
    for argument in ast.walk(arguments) if arguments else ():
        if isinstance(argument, ast.arg):
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            bound.pop(argument.arg, None)
            if kind in TYPES:
                bound[argument.arg] = TYPES[kind]
            fields = [name for name in bound if name.startswith(f"{kind}.")]
            bound |= {f"{argument.arg}.{f.removeprefix(kind + '.')}": bound[f] for f in fields}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            bound |= assigned(node.targets[0], node.value, bound)
    return bound


def assigned(target: ast.AST, value: ast.AST, bound: dict[str, str]) -> dict[str, str]:
    """Names that an assignment, of one value or several, binds to a section."""
    both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    # A starred name takes several values, and none of them is a section.
    pairs = zip(target.elts, value.elts, strict=False) if both else [(target, value)]
    found = [(name, section_of(given, bound)) for name, given in pairs]
    return {name.id: each for name, each in found if each and isinstance(name, ast.Name)}


def readings(tree: ast.AST, outer: dict[str, str] | None = None) -> set[tuple[str, str]]:
    """(section, setting) of every setting that a module reads from its own section."""
    bound, found, waiting = bindings(tree, outer or {}), set(), [*ast.iter_child_nodes(tree)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found |= readings(node, bound)
            continue
        if isinstance(node, ast.Attribute) and (section := section_of(node.value, bound)):
            found.add((section, node.attr))
        waiting += ast.iter_child_nodes(node)
    return found


@cache
def settings_read() -> set[tuple[str, str]]:
    """Every setting that some module reads."""
    sources = [path.read_text(encoding="utf-8") for path in MODULES if room_of(path) != "config"]
    return set().union(*(readings(ast.parse(source)) for source in sources))


@pytest.mark.parametrize(
    ("section", "knob"), [(s, knob) for s, cls in SECTIONS.items() for knob in cls.model_fields]
)
def test_every_setting_is_read_and_documented(section, knob):
    field = SECTIONS[section].model_fields[knob]
    assert field.description, f"{section}.{knob} has no docstring"
    if section == "DataConfig" and any(
        knob in inspect.signature(dataset.load_reader()).parameters for dataset in DATASETS.values()
    ):
        return  # a reader asks for it by name
    assert (section, knob) in settings_read(), f"{section}.{knob} is read nowhere"


def test_an_attribute_of_another_object_is_no_reading(tmp_path):
    """`store.num_frames` is not `config.data.num_frames`, and `other.train` is no settings."""
    source = """
def fit(config, store, cfg: ModelConfig):
    train, rest = config.train, config.span
    def inner():
        return train.epochs, store.width
    return store.heads, cfg.layers, config.data.encoder, store.data.bias, rest.reach

def draw(train, cfg):
    return train.seed, cfg.width

class Inputs(NamedTuple):
    settings: SpanSettings

def spans(inputs: Inputs, other):
    return inputs.settings.gamma, other.settings.sigma
"""
    assert readings(ast.parse(source)) == {
        ("TrainConfig", "epochs"),
        ("ModelConfig", "layers"),
        ("DataConfig", "encoder"),
        ("SpanConfig", "reach"),
        ("SpanConfig", "gamma"),
    }
