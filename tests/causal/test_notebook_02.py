"""Notebook 02 on a small dataset: every cell runs, and the files are there."""

import json

import pytest

from cra_lib.config import run_config
from cra_lib.paths import ResultFiles
from cra_lib.reproduction import workspace


@pytest.fixture
def small_workspace(small_data, tmp_path, monkeypatch):
    causal = {"parser": "rules", "node_encoder": "hashed", "num_confounders": 6}
    config = run_config(
        "shapes",
        overrides={
            "causal": causal,
            "data": {"encoder": "shapes-clip"},
            "model": {"width": 32},
        },
    )
    results = ResultFiles(tmp_path / "results")
    opened = workspace.Workspace(config, small_data, results, results.run("cra", 2024))
    monkeypatch.setattr(workspace, "open_workspace", lambda *_: opened)
    return opened


def test_every_cell_runs(repository, small_workspace):
    path = repository / "notebooks" / "02_sample_causal_features.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert small_workspace.data.language_confounders.exists()
    assert small_workspace.data.visual_confounders.exists()
    assert small_workspace.results.confounders_card.exists()
    assert (
        len(list(small_workspace.results.figures.glob("*.png"))) == 4
    )  # the study over K is left to the larger profile
