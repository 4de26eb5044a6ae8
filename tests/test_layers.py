"""Who may import whom, how large files may grow, and that every setting is read somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cra_lib import config

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "cra_lib"
MODULES = sorted(path for path in LIB.rglob("*.py"))

BASE = {"records", "config", "paths", "__init__"}
SCORING = {"spans", "metrics", "statistics", "diagnostics", "blind", "scores", "readers"}
MAY_IMPORT = {
    "__init__": set(),
    "records": set(),
    "config": {"records"},
    "paths": {"records"},
    "spans": BASE,
    "metrics": BASE | {"spans"},
    "statistics": BASE | {"metrics"},
    # the embedded dataset's text tower lies with its image tower
    "model": BASE | {"video", "pretrained"},
    "data": BASE | {"metrics", "spans", "statistics", "video"},
    "video": BASE | {"data"},
    "causal": BASE | {"data", "video", "model"},
    "training": BASE
    | {"model", "data", "evaluation", "fabric", "metrics", "pretrained", "schedule"},
    "evaluation": BASE | SCORING | {"model", "data", "fabric", "pretrained"},
    "fabric": set(),
    "pretrained": BASE | {"model", "parameters"},
    "released": BASE | {"model", "data", "readers", "pretrained", "causal"},
}
"""Part of the library -> what it may import; parts without a row may import anything."""
ANYTHING = {"figures", "tables", "report", "cli", "notebook", "pipeline", "check", "manifest",
            "fingerprint", "workspace", "preparation", "doctor", "__main__"}  # fmt: skip
TORCH_FREE = {"records", "config", "paths", "check", "manifest", "fingerprint", "figures",
              "tables", "report", "pipeline", "notebook", "workspace"} | SCORING  # fmt: skip


def part_of(path: Path) -> str:
    return path.relative_to(LIB).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    """Absolute names that a module imports; only those that run on import with ``top_level``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.iter_child_nodes(tree) if top_level else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def parts_imported(path: Path) -> set[str]:
    """Parts of the library that a module imports."""
    targets = {name.split(".")[1] for name in imports(path) if name.startswith("cra_lib.")}
    known = {part_of(module) for module in MODULES}
    return {target if target in known else "__init__" for target in targets} - {part_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_imports_point_down(path):
    part = part_of(path)
    if part in MAY_IMPORT:
        wrong = parts_imported(path) - MAY_IMPORT[part]
        assert not wrong, f"{part} may not import {sorted(wrong)}"


def test_only_the_notebook_runner_knows_papermill():
    users = {
        part_of(path) for path in MODULES if any(n.startswith("papermill") for n in imports(path))
    }
    assert users == {"notebook"}


def test_only_the_pipeline_knows_snakemake():
    users = {path.name for path in MODULES if any(n.startswith("snakemake") for n in imports(path))}
    assert users == set()


@pytest.mark.parametrize(
    "path", [p for p in MODULES if part_of(p) in TORCH_FREE], ids=lambda p: p.stem
)
def test_scoring_and_drawing_start_without_torch(path):
    heavy = {n.split(".")[0] for n in imports(path, top_level=True)}
    assert not heavy & {"torch", "lightning_fabric", "transformers", "torchvision"}


@pytest.mark.parametrize(
    "path", [p for p in MODULES if part_of(p) == "model"], ids=lambda p: p.stem
)
def test_the_model_names_no_device(path):
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\.cuda\(|\.cpu\(|\"cuda|'cuda", source)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_files_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 370
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "no module docstring"


def test_the_model_can_be_read_in_one_sitting():
    model = [path for path in MODULES if part_of(path) == "model"]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in model)
    assert lines <= 1200


SECTIONS = {
    name: getattr(config, name)
    for name in ("DataConfig", "CausalConfig", "ModelConfig", "TrainConfig", "SpanConfig")
}


@pytest.mark.parametrize(
    ("section", "knob"), [(s, knob) for s, cls in SECTIONS.items() for knob in cls.model_fields]
)
def test_every_setting_is_read_and_documented(section, knob):
    field = SECTIONS[section].model_fields[knob]
    assert field.description, f"{section}.{knob} has no docstring"
    users = [p for p in MODULES if p.name != "config.py"]
    pattern = re.compile(rf"\.{knob}\b")
    assert any(pattern.search(p.read_text(encoding="utf-8")) for p in users), (
        f"{section}.{knob} is read nowhere"
    )
