"""The annotation in the package is the official one, read in place, and what it is packed with."""

from __future__ import annotations

import hashlib
import tomllib

import pytest

from cra_lib.datasets import DATASETS
from cra_lib.evaluator import packaged
from cra_lib.evaluator.annotations import read_csv, read_stamps, read_truths
from cra_lib.paths import published_csv
from cra_lib.records import InputError, stored

FILES = packaged.packaged_source("nextgqa")["files"]
MOST_BYTES = 1_600_000


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_the_recorded_one(name):
    content = packaged.packaged_bytes(packaged.packaged_dataset("nextgqa"), name)
    assert len(content) == FILES[name]["bytes"]
    assert hashlib.sha256(content).hexdigest() == FILES[name]["sha256"]
    assert len(FILES[name]["commit"]) == 40


def test_the_records_agree_with_those_of_the_download():
    known = {source.path: source for source in DATASETS["nextgqa"].files if source.sha256}
    assert set(FILES) == set(known)
    for name, entry in FILES.items():
        assert (entry["sha256"], entry["bytes"]) == (known[name].sha256, known[name].size)


def test_readers_read_in_place():
    files = packaged.packaged_dataset("nextgqa")
    assert not files.segments("val").exists() and stored(files.segments("val")) is not None
    assert [len(read_truths(files, split)) for split in ("val", "test")] == [3358, 5553]
    assert len(read_stamps(files.stamps("test", "upbd"))) == 999
    assert len(read_csv(files.root / "nextoe" / "train.csv", ("answer",))) == 37_523


def test_unpacking_leaves_files_of_the_user_alone(tmp_path):
    (tmp_path / "val.csv").write_text("mine")
    files = packaged.unpack_dataset("nextgqa", tmp_path, only=["val.csv", "gsub_val.json"])
    assert files.questions("val").read_text() == "mine"
    assert files.segments("val").stat().st_size == FILES["gsub_val.json"]["bytes"]
    packaged.unpack_dataset("nextgqa", tmp_path, only=["val.csv"], replace=True)
    assert len(read_truths(files, "val")) == 3358


def test_published_rows_have_one_source(repository):
    """The copy of the repository's front rooms is a link to the package's file."""
    assert (repository / "results" / "published.csv").resolve() == published_csv()


def test_what_is_not_packaged_is_refused():
    with pytest.raises(InputError, match="No annotation of 'star' comes .* there is: nextgqa"):
        packaged.packaged_dataset("star")


def test_the_wheel_carries_the_files_and_stays_small(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["cra_lib"]
    library = repository / "cra_lib"
    carried = {path for pattern in patterns for path in library.glob(pattern)}
    packed = {p for p in packaged.FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {p for p in packed if p.suffix != ".py"} <= carried
    assert published_csv() in carried and not published_csv().is_symlink()
    for name in ("card.html", "page.css", "report.html"):
        assert library / "reporting" / name in carried
    assert sum(path.stat().st_size for path in packed) < MOST_BYTES
    assert "MIT License" in (packaged.FOLDER / "nextgqa" / "LICENSE").read_text()
