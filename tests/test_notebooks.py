"""Notebooks hold prose, parameters, calls and pictures: nothing is defined, nothing is left in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cra_lib.config import run_config
from cra_lib.config.profiles import named_profile
from cra_lib.config.variants import TRAINED as WITH_MODEL
from cra_lib.reproduction.executed_page import write_html
from cra_lib.reproduction.notebook import declared_parameters
from cra_lib.reproduction.plan import OF_MODELS, STAGES
from cra_lib.reproduction.planning import PROFILE_KEYS

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PROFILES = sorted(ROOT.glob("workflow/profiles/*.yaml"))
COMMON = {"DATASET": "shapes", "PROFILE": "quick", "DATA_DIR": "", "RESULTS_DIR": ""}
TRAINED = {"VARIANT": "cra", "SEED": 2024}
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)


def cells_of(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def code_of(notebook: Path) -> list[str]:
    return ["".join(c["source"]) for c in cells_of(notebook) if c["cell_type"] == "code"]


def test_every_stage_has_its_notebook():
    names = {path.stem for path in NOTEBOOKS}
    assert {name for name in STAGES.values() if name} <= names


@each_notebook
def test_notebook_calls_and_does_not_define(notebook):
    code = code_of(notebook)
    lengths = [len(source.splitlines()) for source in code]
    assert len(code) <= 15 and sum(lengths) <= 130, (len(code), sum(lengths))
    assert max(lengths) <= 12, max(lengths)
    assert not any(re.search(r"^\s*(def|class) |^[!%]", source, re.M) for source in code)


@each_notebook
def test_sources_are_stripped(notebook):
    for cell in cells_of(notebook):
        assert not cell.get("outputs") and not cell.get("execution_count")


@each_notebook
def test_prose_comes_first_and_before_each_claim(notebook):
    kinds = [cell["cell_type"] for cell in cells_of(notebook)]
    assert kinds[0] == "markdown"
    assert kinds.count("markdown") >= kinds.count("code") / 2


@each_notebook
def test_parameters_come_first_with_the_embedded_dataset_as_default(notebook):
    first = next(cell for cell in cells_of(notebook) if cell["cell_type"] == "code")
    assert "parameters" in first["metadata"].get("tags", [])
    declared = declared_parameters(notebook)
    if notebook.stem not in STAGES.values():
        return
    wanted = COMMON | (TRAINED if notebook.stem[:2] in ("03", "04") else {})
    for name, default in wanted.items():
        assert declared[name].default == default, name


@each_notebook
def test_formulas_are_escaped_once(notebook):
    prose = [c for c in cells_of(notebook) if c["cell_type"] == "markdown"]
    for source in ("".join(cell["source"]) for cell in prose):
        assert not re.search(r"\\\\[A-Za-z]", source), "shown as letters, not as a formula"


@each_notebook
def test_the_page_shows_formulas_and_contents(notebook, tmp_path):
    """Formulas become MathML: no visible text holds raw TeX, and every entry has its place."""
    copy = tmp_path / "notebooks" / notebook.name
    copy.parent.mkdir()
    copy.write_bytes(notebook.read_bytes())
    page = write_html(copy).read_text(encoding="utf-8")
    body = re.sub(r"<(script|style|math|pre)\b.*?</\1>", "", page.partition("<body")[2], flags=re.S)
    shown = re.sub(r"<[^>]*>", "", body)
    assert not re.search(r"\\[a-zA-Z]{2,}|formula\d+token|\$\S[^$\n]*\$", shown)
    contents = re.search(r'<nav aria-label="Contents".*?</nav>', page, re.S)[0]
    places = re.findall(r'href="#([^"]+)"', contents)
    assert len(places) >= 5 and all(f'id="{place}"' in page for place in places)
    assert 'href="../report.html"' in contents


def test_saving_what_is_shown_is_one_short_call():
    for notebook in NOTEBOOKS:
        code = "\n".join(code_of(notebook))
        assert "results.figures" not in code.replace("results.figures.glob", "")
        assert "write_table(" not in code and "figures.save(" not in code


@each_notebook
def test_no_path_of_a_machine(notebook):
    text = "\n".join("".join(cell["source"]) for cell in cells_of(notebook))
    assert not re.search(r"(?<![\w.])/(home|Users|root|mnt|var)/|[A-Z]:\\", text)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.stem)
def test_profiles_set_only_what_exists(profile):
    content = named_profile(*profile.stem.split("-"))
    assert set(content) <= PROFILE_KEYS
    needs = {"memory_gb", "gpu_gb", "measured"}
    trains = set(content["variants"]) & set(WITH_MODEL)
    stages = {stage for stage in STAGES if trains or stage not in OF_MODELS}
    assert set(content["cost"]) - needs == {*stages, "disk_gb"}
    for variant in content["variants"]:
        run_config(profile.stem.split("-")[0], variant, profile=content["settings"] or {})
    head = profile.read_text(encoding="utf-8").splitlines()[:3]
    assert head[1].startswith("# cost:") and head[2].startswith("# expect:")
