from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.data.doctor import examine, report
from cra_lib.paths import DataFiles, data_files
from cra_lib.records import InputError


def _status(findings):
    return {finding.name: finding.status for finding in findings}


def test_each_missing_file_says_where_from_and_what_still_works(tmp_path):
    lines = list(report(examine("nextgqa", data_files("nextgqa", tmp_path))))
    at = next(number for number, line in enumerate(lines) if " val.csv" in line)
    assert lines[at].startswith("missing")
    assert "638.9 kB" in lines[at]
    assert "https://raw.githubusercontent.com/doc-doc/NExT-GQA" in lines[at + 1]
    assert "without it still works: scoring test predictions" in lines[at + 2]


def test_a_changed_file_is_noticed(tmp_path):
    (tmp_path / "nextgqa").mkdir()
    (tmp_path / "nextgqa" / "gsub_val.json").write_text("{}")
    (tmp_path / "nextgqa" / "test.csv").touch()
    status = _status(examine("nextgqa", data_files("nextgqa", tmp_path)))
    assert status["gsub_val.json"] == "wrong hash"
    assert status["test.csv"] == "empty"
    assert status["gsub_test.json"] == "missing"


@pytest.mark.shared
def test_the_official_files_are_recognised(shared_data):
    status = _status(examine("nextgqa", DataFiles(shared_data / "nextgqa")))
    official = ("val.csv", "test.csv", "gsub_val.json", "frame2time_test.json", "upbd_val.json")
    assert {status[name] for name in official} == {"present"}


def test_exit_status_follows_the_findings(tmp_path):
    root = tmp_path / "shapes"
    doctor = ["doctor", "shapes", "--data", str(tmp_path)]
    assert CliRunner().invoke(app, doctor).exit_code == 2
    for finding in examine("shapes", data_files("shapes", tmp_path)):
        path = root / finding.name
        if finding.name.endswith("/"):
            path = path / "one.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("something")
    outcome = CliRunner().invoke(app, doctor)
    assert outcome.exit_code == 0
    assert "complete" in outcome.output
    for damage in (lambda path: path.write_text(""), Path.unlink):
        damage(root / "val.csv")
        outcome = CliRunner().invoke(app, doctor)
        assert outcome.exit_code == 2
        assert "1 of" in outcome.output and "`cra prepare shapes`" in outcome.output


def test_models_are_looked_for_in_the_hub_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert (
        _status(examine("nextgqa", data_files("nextgqa", tmp_path)))["model roberta-base"]
        == "missing"
    )
    (tmp_path / "models--roberta-base" / "snapshots" / "abc").mkdir(parents=True)
    assert (
        _status(examine("nextgqa", data_files("nextgqa", tmp_path)))["model roberta-base"]
        == "present"
    )


def test_unknown_datasets_are_refused(tmp_path):
    with pytest.raises(InputError, match="shapes, nextgqa, star. Did you mean 'nextgqa'"):
        examine("nextqa", DataFiles(tmp_path))
