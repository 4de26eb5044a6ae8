"""The manifest keeps every entry, also when processes write at the same moment."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cra_lib.reproduction.manifest import (
    git_state,
    hashes,
    made_by,
    read_manifest,
    record,
    sha256,
    versions,
)


def _record(arguments: tuple[Path, int]) -> None:
    path, number = arguments
    record(path, f"entry{number}", {"number": number})


def test_parallel_records_are_all_kept(tmp_path):
    path = tmp_path / "manifest.json"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_record, [(path, number) for number in range(24)]))
    assert {entry["number"] for entry in read_manifest(path).values()} == set(range(24))


def test_an_entry_is_replaced_by_its_next_run(tmp_path):
    path = tmp_path / "manifest.json"
    record(path, "a", {"seconds": 1})
    record(path, "a", {"seconds": 2})
    assert read_manifest(path) == {"a": {"seconds": 2}}
    assert read_manifest(tmp_path / "none.json") == {}


def test_hashes_shorten_paths_and_leave_out_what_is_absent(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    table = hashes([tmp_path / "a.txt", tmp_path / "none.txt"], tmp_path)
    assert table == {"a.txt": hashlib.sha256(b"abc").hexdigest()}
    assert sha256(tmp_path / "a.txt") == table["a.txt"]


def test_outside_git_there_is_no_revision(tmp_path):
    assert git_state(tmp_path) == {"hash": None, "dirty": False}
    assert "python" in versions() and "numpy" in versions()


def touch(path: Path, when: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    os.utime(path, (when, when))
    return path


def test_all_that_a_notebook_left_is_recorded_and_nothing_of_others(tmp_path):
    manifest, executed = tmp_path / "manifest.json", tmp_path / "notebooks" / "05_figures.ipynb"
    made = [touch(tmp_path / "figures" / "a.png", 1000), touch(tmp_path / "tables" / "a.csv", 1000)]
    touch(tmp_path / "figures" / "old.png", 10)
    touch(tmp_path / "runs" / "cra" / "seed1" / "history.csv", 1000)
    touch(tmp_path / ".workflow" / "plan.json", 1000)
    touch(executed, 1000)
    found = made_by(manifest, executed, {}, 999.0, [], tmp_path)
    assert set(found) == {str(p.relative_to(tmp_path)) for p in (*made, executed)}

    trained = tmp_path / "notebooks" / "03_train_cra_seed1.ipynb"
    found = made_by(manifest, trained, {"VARIANT": "cra", "SEED": 1}, 999.0, [], tmp_path)
    assert set(found) == {"runs/cra/seed1/history.csv"}


def test_what_an_earlier_run_made_and_is_still_there_stays_recorded(tmp_path):
    manifest, executed = tmp_path / "manifest.json", tmp_path / "notebooks" / "05_figures.ipynb"
    old = touch(tmp_path / "figures" / "old.png", 10)
    record(manifest, "05_figures", {"outputs": {"figures/old.png": "x", "figures/gone.png": "y"}})
    found = made_by(manifest, executed, {}, 999.0, [], tmp_path)
    assert found == {"figures/old.png": sha256(old)}
