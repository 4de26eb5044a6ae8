"""Fetching the files of a dataset that can be fetched, and listing the others."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cra_lib.datasets import SourceFile, dataset_named
from cra_lib.paths import sha256
from cra_lib.records import InputError

_PIECE = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte before an address is given up."""


def missing(dataset: str, root: Path, train_from: str = "official") -> list[SourceFile]:
    """The dataset's files that are not in its folder and have an address.

    With `train_from` "nextoe" the open-ended training file takes the place of the official one.
    """
    absent = [
        source
        for source in dataset_named(dataset).files
        if source.urls and not (root / source.path).exists()
    ]
    if train_from != "nextoe":
        spare = {"nextoe/train.csv"}
        if (root / "nextqa" / "train.csv").exists():  # the same questions, taken instead
            spare.add("train.csv")
        return [source for source in absent if source.path not in spare]
    return [
        replace(source, required=True) if source.path == "nextoe/train.csv" else source
        for source in absent
        if source.path != "train.csv"
    ]


def fetch_missing(
    sources: Iterable[SourceFile],
    root: Path,
    mirrors: Sequence[str] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> None:
    """Fetch what can be fetched; after an optional file that cannot, the other optional ones wait.

    Raises:
        InputError: a required file cannot be fetched.
    """
    reachable = True
    for source in sorted(sources, key=lambda source: not source.required):
        if source.manual or not (source.required or reachable):
            continue
        announce(f"fetching {source.path} ({readable(source.size)})")
        try:
            fetch(source, root, mirrors)
        except InputError as error:
            if source.required:
                raise
            reachable = False
            announce(f"left out (optional): {error}")


def plan(sources: Iterable[SourceFile], mirrors: Sequence[str] = ()) -> Iterator[str]:
    """One line a file: what would be fetched, how large, from where; then the sum."""
    total, unknown = 0, 0
    for source in sources:
        total += source.size or 0
        unknown += source.size is None
        how = "by hand" if source.manual else "fetch"
        addresses = ", ".join(_addresses(source, mirrors))
        yield f"{how:8}{source.path:42}{readable(source.size):>10}  {addresses}"
    more = f" and {unknown} files of unknown size" if unknown else ""
    yield f"in all {readable(total)}{more}"


def readable(size: int | None) -> str:
    """Bytes for people.

    >>> readable(1_052_149), readable(None)
    ('1.1 MB', 'unknown')
    """
    if size is None:
        return "unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def _addresses(source: SourceFile, mirrors: Sequence[str]) -> list[str]:
    """Mirrors first: someone who names one prefers it."""
    return [*(f"{mirror.rstrip('/')}/{source.path}" for mirror in mirrors), *source.urls]


def fetch(
    source: SourceFile,
    root: Path,
    mirrors: Sequence[str] = (),
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Fetch one file into the dataset's folder, going on where an earlier try stopped.

    Args:
        mirrors: addresses of folders with the same layout, tried before the official one.
        progress: called with the bytes so far and the size, or None where it is unknown.

    Raises:
        InputError: no address answers, or what came has another sha256.
    """
    target = root / source.path
    partial = target.with_name(f".{target.name}.download")
    problems = []
    for address in _addresses(source, mirrors):
        try:
            _receive(address, partial, progress)
        except (OSError, ValueError) as error:
            problems.append(f"{address} ({_reason(error)})")
            continue
        found = sha256(partial)
        if source.sha256 in (None, found):
            os.replace(partial, target)
            return target
        partial.unlink()
        problems.append(f"{address} (sha256 {found[:12]}..., expected {source.sha256[:12]}...)")
    raise InputError(
        f"{source.path} cannot be fetched: {'; '.join(problems)}. "
        f"Fetch it by hand and put it at {target}."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return str(error)
    return str(getattr(error, "reason", error))


def _receive(address: str, partial: Path, progress: Callable[[int, int | None], None]) -> None:
    """Append to `partial` what it lacks of the file at `address`."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "cra-lib"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(address, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing left to send: the earlier try had everything
            return
        raise
    with answer:
        # A server (or file:// address) that ignores the range sends the file from its beginning.
        resumed = bool(have) and getattr(answer, "status", 200) == 206
        length = answer.headers.get("Content-Length")
        done = have if resumed else 0
        total = done + int(length) if length else None
        partial.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "ab" if resumed else "wb") as file:
            while piece := answer.read(_PIECE):
                file.write(piece)
                done += len(piece)
                progress(done, total)
    if total is not None and done != total:
        raise OSError(f"the connection broke after {done} of {total} bytes")


def free_space(root: Path) -> int:
    """Bytes free where the dataset would be written."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    return shutil.disk_usage(existing).free
