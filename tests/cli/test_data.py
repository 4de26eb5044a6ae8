from __future__ import annotations

import sys

import numpy as np
import pytest

from cra_lib.cli import main
from cra_lib.video.features import FeatureStore
from cra_lib.video.writing import write_video


@pytest.fixture
def cra(monkeypatch, capsys):
    """Runs the command line in this process: cra("doctor", ...) -> (exit code, out, err)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cra", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", [np.zeros((32, 32, 3), np.uint8)] * 30, 10)
    return tmp_path / "videos"


def test_a_plan_writes_nothing(cra, tmp_path):
    code, out, _ = cra("prepare", "nextgqa", "--data", tmp_path, "--dry-run")
    assert code == 0
    assert "nothing was fetched or written" in out
    assert not list(tmp_path.iterdir())


def test_features_from_a_folder(cra, folder, tmp_path):
    out_file = tmp_path / "f.h5"
    code, out, _ = cra("features", "extract", folder, "--encoder", "pixels", "--out", out_file)
    assert (code, "2 videos" in out) == (0, True)
    with FeatureStore(out_file, width=768) as store:
        assert store.video_ids == ("a", "b")


def test_bad_videos_stop_it_unless_skipped(cra, folder, tmp_path):
    (folder / "c.mp4").write_text("no video")
    command = ("features", "extract", folder, "--encoder", "pixels", "--out", tmp_path / "f.h5")
    code, out, err = cra(*command)
    assert code == 2
    assert "bad  c: " in out
    assert "--skip-bad" in err
    assert not (tmp_path / "f.h5").exists()
    code, out, _ = cra(*command, "--skip-bad")
    assert (code, "1 left out" in out) == (0, True)


def test_absent_weights_are_one_sentence(cra, folder, tmp_path):
    code, _, err = cra("features", "extract", folder, "--out", tmp_path / "f.h5")
    assert code == 2
    assert "hf download openai/clip-vit-large-patch14" in err
    assert len(err.strip().splitlines()) == 1
