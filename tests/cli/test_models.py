"""`cra import-released`, `export-released` and `parameters`."""

import pytest
import torch
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.records import InputError

run = CliRunner().invoke


def test_parameters_are_explained():
    shown = run(app, ["parameters"]).output
    assert "143,924,835" in shown and "145,000,000" in shown


def test_parameters_of_a_baseline():
    assert "back_door" not in run(app, ["parameters", "--variant", "post-hoc"]).output


def test_unknown_variant():
    result = run(app, ["parameters", "--variant", "crra"])
    assert isinstance(result.exception, InputError)
    assert "did you mean 'cra'" in str(result.exception)


def test_import_confounders(tmp_path):
    torch.save(torch.randn(6, 5), tmp_path / "visual_clusters.npy")
    result = run(
        app, ["import-released", str(tmp_path / "visual_clusters.npy"), str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "visual.safetensors").exists()


@pytest.mark.parametrize("name", ["absent.pth", "absent.npy"])
def test_missing_file(name, tmp_path):
    result = run(app, ["import-released", str(tmp_path / name), str(tmp_path)])
    assert isinstance(result.exception, InputError)
