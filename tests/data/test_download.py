from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cra_lib.data.download import (
    fetch,
    fetch_missing,
    missing,
    plan,
    sha256,
)
from cra_lib.datasets import DATASETS, SourceFile
from cra_lib.records import InputError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; /broken hangs up half way; everything else is not there."""

    def __init__(self, *args, log, **kwargs):
        self.seen = log
        super().__init__(*args, **kwargs)

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.seen.append((self.path, wanted))
        if self.path not in ("/file.bin", "/broken", "/no-ranges"):
            self.send_error(404)
            return
        start = 0
        if wanted and self.path == "/file.bin":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : len(CONTENT) // 2 if self.path == "/broken" else None])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    log: list[tuple[str, str | None]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, log=log)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", log
        running.shutdown()


def _source(*urls, digest=DIGEST, required=True):
    return SourceFile("sub/file.bin", "a test", "all", urls, len(CONTENT), digest, required)


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    address, log = server
    with pytest.raises(InputError, match="broke after"):
        fetch(_source(f"{address}/broken"), tmp_path)
    assert not (tmp_path / "sub" / "file.bin").exists()
    assert fetch(_source(f"{address}/file.bin"), tmp_path).read_bytes() == CONTENT
    assert log[-1] == ("/file.bin", f"bytes={len(CONTENT) // 2}-")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["file.bin"]


def test_a_download_that_was_complete_is_not_sent_again(server, tmp_path):
    address, log = server
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".file.bin.download").write_bytes(CONTENT)
    assert fetch(_source(f"{address}/file.bin"), tmp_path).read_bytes() == CONTENT
    assert len(log) == 1


def test_a_server_without_ranges_starts_again(server, tmp_path):
    address, _ = server
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".file.bin.download").write_bytes(CONTENT[:1000])
    assert fetch(_source(f"{address}/no-ranges"), tmp_path).read_bytes() == CONTENT


def test_mirrors_come_first_and_a_wrong_hash_is_refused(server, tmp_path):
    address, log = server
    mirror = tmp_path / "mirror"
    (mirror / "sub").mkdir(parents=True)
    (mirror / "sub" / "file.bin").write_bytes(b"something else")
    source = _source(f"{address}/file.bin")
    assert fetch(source, tmp_path / "data", [mirror.as_uri()]).read_bytes() == CONTENT
    assert log, "the mirror's file has another hash, so the official address is asked"
    with pytest.raises(
        InputError, match=r"sha256 .* expected 0000.*Fetch it by hand and put it at"
    ):
        fetch(_source(f"{address}/file.bin", digest="0" * 64), tmp_path / "other")
    assert not (tmp_path / "other" / "sub" / "file.bin").exists()


def test_required_files_stop_it_and_optional_ones_do_not(server, tmp_path):
    address, log = server
    lines: list[str] = []
    optional = [_source(f"{address}/gone", required=False)] * 3
    fetch_missing(optional, tmp_path, announce=lines.append)
    assert len(log) == 1, "after one that cannot be had the other optional ones wait"
    assert "left out (optional)" in lines[-1]
    with pytest.raises(InputError, match="404"):
        fetch_missing([_source(f"{address}/gone")], tmp_path)
    assert not list(tmp_path.iterdir()), "nothing came, nothing is left"


def test_plan_has_every_file_its_size_and_address(tmp_path):
    absent = missing("nextgqa", tmp_path)
    lines = list(plan(absent, ["https://mirror.example/x"]))
    assert len(lines) == len(absent) + 1
    assert "638.9 kB" in lines[0]
    assert "https://mirror.example/x/val.csv, https://raw.githubusercontent.com/" in lines[0]
    assert lines[-1].startswith("in all 538.0 MB")


def test_the_training_source_decides_which_file_is_needed(tmp_path):
    official = {source.path: source for source in missing("nextgqa", tmp_path)}
    built = {source.path: source for source in missing("nextgqa", tmp_path, "nextoe")}
    assert "train.csv" in official
    assert "nextoe/train.csv" not in official
    assert "train.csv" not in built
    assert built["nextoe/train.csv"].required


@pytest.mark.shared
def test_recorded_hashes_are_those_of_the_official_files(shared_data):
    for source in DATASETS["nextgqa"].files:
        folder = shared_data if source.path.startswith("nextoe/") else shared_data / "nextgqa"
        if source.sha256:
            assert sha256(folder / source.path) == source.sha256, source.path
            assert (folder / source.path).stat().st_size == source.size
