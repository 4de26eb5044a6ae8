"""Files are written whole or not at all, also where the system refuses to write."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cra_lib.cli import main
from cra_lib.paths import atomic, clone_file, profile_path, remove_unfinished
from cra_lib.records import InputError
from cra_lib.video.features import write_features


@pytest.fixture
def full_disk():
    """No file may grow beyond 20 kB: what a full disk looks like from inside."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _text(path):
    path.write_text("x" * 100_000)


def _table(path):
    with h5py.File(path, "w") as file:
        file["rows"] = np.zeros(100_000)


WRITERS = {
    "text": _text,
    "torch": lambda path: torch.save({"weights": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"weights": torch.zeros(100_000)}, path),
    "hdf5": _table,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, full_disk, writer):
    path = tmp_path / "product.bin"
    path.write_text("old")
    with pytest.raises(OSError) as refused, atomic(path) as partial:
        WRITERS[writer](partial)
    assert refused.value.filename == str(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_features_on_a_full_disk(tmp_path, full_disk):
    with pytest.raises(OSError, match=r"f\.h5"):
        write_features(tmp_path / "f.h5", ["a"], np.ones((1, 32, 768), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_errors_of_others_pass_unchanged(tmp_path):
    with pytest.raises(ValueError, match="mine"), atomic(tmp_path / "product") as partial:
        partial.write_text("half")
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []


def test_commands_say_it_in_one_sentence(tmp_path, full_disk, monkeypatch, capsys):
    words = ["cra", "prepare", "shapes", "--data", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 1
    assert error.startswith(f"cra: {tmp_path}") and "Nothing half-written is left." in error


def test_outside_of_a_clone_commands_say_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setenv("CRA_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="workflow/profiles/shapes-quick.yaml of the repository"):
        profile_path("shapes", "quick")
    with pytest.raises(InputError, match="which the installed package does not carry .* CRA_ROOT"):
        clone_file("notebooks", "03_train.ipynb")


def test_what_a_dead_process_left_unfinished_is_removed(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = [f".a.{gone.pid}.partial.mp4", f".a.{os.getpid()}.partial.mp4", ".a.partial.mp4",
             f".b.{gone.pid}.partial.json", f".ab.{gone.pid}.partial"]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text("half")
    remove_unfinished(tmp_path, stem="a.")
    assert not (tmp_path / names[0]).exists()
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
    remove_unfinished(tmp_path, tmp_path / "absent")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:3])
