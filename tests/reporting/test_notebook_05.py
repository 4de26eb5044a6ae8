"""Notebook 05 on results of one variant alone: nothing to compare with is no reason to stop."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from cra_lib.data.card import data_card
from cra_lib.paths import ResultFiles
from cra_lib.reporting import report


@pytest.mark.parametrize("variants", [("ng+",)], ids="-".join)
def test_it_draws_what_there_is(made_up, repository, tmp_path, monkeypatch, variants):
    results = ResultFiles(tmp_path / "results")
    for variant in variants:
        source, target = (r.run(variant, 2024).root for r in (made_up.results, results))
        shutil.copytree(source, target)
    results.data_card.write_text(json.dumps(data_card(made_up.data, "shapes")))
    notebook = json.loads((repository / "notebooks" / "05_figures.ipynb").read_text())
    # torch is loaded by other tests; here only the cells' own work is of interest
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    names = {"display": lambda *shown: None}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= {"DATA_DIR": str(made_up.data.root.parent), "RESULTS_DIR": str(results.root)}
    page = report.write_report("shapes", results).read_text()
    assert "Figures that this run did not make: ablation" in page
    assert (results.figures / "bias_study.pdf").exists()
