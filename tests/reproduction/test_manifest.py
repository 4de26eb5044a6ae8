"""The manifest keeps every entry, also when processes write at the same moment."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cra_lib.reproduction.manifest import git_state, hashes, read_manifest, record, sha256, versions


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
