"""The notebook runner: what it refuses, what it keeps, and how it tells failures apart."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cra_lib.records import InputError
from cra_lib.reproduction.executed_page import write_html
from cra_lib.reproduction.manifest import read_manifest
from cra_lib.reproduction.notebook import (
    CellFailed,
    KernelDied,
    check_parameters,
    copy_name,
    declared_parameters,
    parse_parameters,
    run_notebook,
)

PARAMETERS = 'NAME: str = "a"\nSEED: int = 1\nRATE: float | None = None\nDEEP = False\nhelper = 1'


def write(path: Path, *cells: str, tagged: bool = True, prose: str = "# Title") -> Path:
    """A notebook with one markdown cell, then code; the first code cell may be tagged."""
    content = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": prose}]
    for number, source in enumerate(cells):
        tags = {"tags": ["parameters"]} if tagged and number == 0 else {}
        content.append(
            {"cell_type": "code", "id": f"cell{number}", "metadata": tags, "source": source,
             "outputs": [], "execution_count": None}
        )  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    document = {"cells": content, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def notebook(tmp_path) -> Path:
    return write(tmp_path / "toy.ipynb", PARAMETERS, "NAME")


def test_declared_parameters_have_defaults_and_types(notebook):
    declared = declared_parameters(notebook)
    assert [p.default for p in declared.values()] == ["a", 1, None, False]
    assert declared["RATE"].describe() == "float or None" and "helper" not in declared


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"SEEDS": 1}, "has no parameter 'SEEDS'; it declares: NAME, SEED, RATE, DEEP"),
        ({"SEED": "one"}, "SEED takes int, got 'one'"),
        ({"SEED": True}, "SEED takes int, got True"),
        ({"RATE": "fast"}, "RATE takes float or None"),
        ({"NAME": None}, "NAME takes str"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(notebook, tmp_path, given, hint):
    with pytest.raises(InputError, match=re.escape(hint)):
        run_notebook(notebook, tmp_path / "out.ipynb", given)
    assert not (tmp_path / "out.ipynb").exists()


def test_good_parameters_are_accepted(notebook):
    check_parameters(notebook, {"NAME": "b", "SEED": 2, "RATE": 1, "DEEP": True})
    check_parameters(notebook, {"RATE": None})


def test_words_of_a_command_line_take_the_declared_type(notebook):
    words = ["NAME=12", "SEED=3", "RATE=1e-3", "DEEP=True"]
    expected = {"NAME": "12", "SEED": 3, "RATE": 1e-3, "DEEP": True}
    assert parse_parameters(notebook, words) == expected
    assert parse_parameters(notebook, ["RATE=None", "NAME="]) == {"RATE": None, "NAME": ""}
    with pytest.raises(InputError, match="NAME=VALUE"):
        parse_parameters(notebook, ["SEED"])


def test_a_notebook_without_the_tag_is_refused(tmp_path):
    untagged = write(tmp_path / "toy.ipynb", PARAMETERS, tagged=False)
    with pytest.raises(InputError, match="one cell tagged 'parameters', found 0"):
        run_notebook(untagged, tmp_path / "out.ipynb", {})


def test_a_missing_or_damaged_notebook_is_refused(tmp_path):
    with pytest.raises(InputError, match="Notebook not found"):
        declared_parameters(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(InputError, match="not a notebook"):
        declared_parameters(tmp_path / "bad.ipynb")


def test_a_run_leaves_copy_page_and_manifest(tmp_path):
    toy = write(
        tmp_path / "toy.ipynb", PARAMETERS, "print('epoch 1 of 1')\nprint('aside')\nNAME",
        prose=r"# The weights $\alpha_t$ and `$code`",
    )  # fmt: skip
    out, said = tmp_path / "made" / "toy_b.ipynb", []
    manifest = tmp_path / "made" / "manifest.json"
    run_notebook(toy, out, {"NAME": "b", "SEED": 7}, manifest_path=manifest, inputs=[toy],
                 outputs=[tmp_path / "absent"], say=said.append)  # fmt: skip
    assert said == ["epoch 1 of 1  (cell 3 of 3)"]
    cells = json.loads(out.read_text())["cells"]
    assert "'b'" in json.dumps(cells[-1]["outputs"])
    page = out.with_suffix(".html").read_text()
    assert "<math" in page and "$code" in page and not re.search(r'<script[^>]*src="http', page)
    entry = read_manifest(manifest)["toy_b"]
    assert entry["exit_state"] == "ok" and entry["seed"] == 7
    assert {Path(path).name for path in entry["outputs"]} == {out.name, "toy_b.html"}
    assert entry["inputs"] and entry["parameters"] == {"NAME": "b", "SEED": 7}
    assert [p.name for p in out.parent.iterdir() if "partial" in p.name] == []


@pytest.mark.parametrize(
    ("cell", "error", "said", "state"),
    [
        ("1 / 0", CellFailed, "ZeroDivisionError: division by zero", "cell failed"),
        (
            "from cra_lib.records import InputError\nraise InputError('x.csv: row 3 is bad.')",
            InputError,
            "x.csv: row 3 is bad.",
            "bad input",
        ),
        ("import os\nos.kill(os.getpid(), 9)", KernelDied, "the kernel died", "kernel died"),
    ],
)
def test_failures_are_told_apart_and_kept(tmp_path, cell, error, said, state):
    toy = write(tmp_path / "toy.ipynb", PARAMETERS, "kept = 'so far'\nkept", cell, "never = 1")
    out, manifest = tmp_path / "out.ipynb", tmp_path / "manifest.json"
    with pytest.raises(error, match=re.escape(said)):
        run_notebook(toy, out, {}, manifest_path=manifest, html=False)
    assert "so far" in out.read_text()
    entry = read_manifest(manifest)["out"]
    assert entry["exit_state"] == state and said in entry["error"]


def test_formulas_in_code_stay_code(tmp_path):
    prose = "Cost is $5.\n\n```\n$x$\n```\n\n$$\\frac{a}{b}$$"
    page = write_html(write(tmp_path / "toy.ipynb", PARAMETERS, prose=prose)).read_text()
    assert page.count("<math") == 1 and "$x$" in page and "Cost is $5." in page


def test_widgets_become_text_that_needs_no_network(tmp_path):
    path = write(tmp_path / "toy.ipynb", PARAMETERS)
    document = json.loads(path.read_text())
    view = "application/vnd.jupyter.widget-view+json"
    data = {view: {"model_id": "bar", "version_major": 2}, "text/plain": "half of the epochs"}
    document["cells"][1]["outputs"] = [
        {"output_type": "display_data", "data": data, "metadata": {}}
    ]
    state = {"state": {}, "version_major": 2, "version_minor": 0}
    document["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    path.write_text(json.dumps(document))
    page = write_html(path).read_text()
    assert "half of the epochs" in page and "unpkg.com" not in page and view not in page


def test_a_page_has_contents_and_leads_on(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    source = write(
        folder / "03_train_ng+_seed7.ipynb", PARAMETERS, prose="**The `loss`.** It falls."
    )
    page = write_html(source).read_text()
    assert '<li><a href="#cell-id=title">The loss</a></li>' in page and 'id="cell-id=title"' in page
    assert 'href="../report.html"' in page and 'href="04_evaluate_ng+_seed7.html"' in page


def test_every_variant_has_its_own_copy(tmp_path):
    trained = write(tmp_path / "03_train.ipynb", 'VARIANT: str = "cra"\nSEED: int = 2024')
    assert copy_name(trained, {}) == "03_train_cra_seed2024.ipynb"
    assert copy_name(trained, {"VARIANT": "ng+"}) == "03_train_ng+_seed2024.ipynb"
    other = write(tmp_path / "05_figures.ipynb", 'NAME: str = "a"')
    assert copy_name(other, {}) == "05_figures.ipynb"


def test_epoch_lines_say_how_long_it_will_take(tmp_path):
    said: list[str] = []
    loop = "for n in (1, 2, 3):\n    time.sleep(0.2)\n    print(f'epoch {n}/3', flush=True)"
    source = write(tmp_path / "toy.ipynb", PARAMETERS, f"import time\n{loop}")
    run_notebook(source, tmp_path / "out.ipynb", {}, say=said.append)
    assert said[0] == "epoch 1/3  (cell 2 of 2)" and said[2] == "epoch 3/3  (cell 2 of 2)"
    assert re.fullmatch(r"epoch 2/3  \(cell 2 of 2\)  about \d+ s left", said[1])
