"""Which files each dataset needs, where they come from, and fetching those that can be fetched.

Sizes and sha256 are of the official files; None where they could not be read. A file that sits
behind a form or a confirmation page has ``manual`` set: it is listed with its address, not fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cra_lib.records import InputError

_GQA = "https://raw.githubusercontent.com/doc-doc/NExT-GQA/main/datasets/nextgqa"
_QA = "https://raw.githubusercontent.com/doc-doc/NExT-QA/main/dataset/nextqa"
_OE = "https://raw.githubusercontent.com/doc-doc/NExT-OE/main/dataset/nextqa"
_STAR = "https://star-benchmark.s3.us-east.cloud-object-storage.appdomain.cloud"
_CHARADES = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades/Charades_v1_480.zip"
_CLIP_FEATURES = "https://drive.google.com/file/d/101W4r6ibXJE2IOr6MINbNIMC3MFiN-us/view"
_RAW_VIDEOS = "https://drive.google.com/file/d/1jTcRCrVHS66ckOUfWRb-rXdzJ52XAWQH/view"
_PIECE = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte before an address is given up."""


@dataclass(frozen=True)
class SourceFile:
    """One file (or folder) of a dataset."""

    path: str
    """Relative to the dataset's folder; a trailing slash marks a folder."""
    purpose: str
    without: str
    """What still works where it is missing."""
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    required: bool = True
    manual: bool = False
    made_by: str = ""
    """The command that makes it, for files that are not fetched."""


def _gqa(name: str, size: int, sha256: str, purpose: str, without: str, required: bool = True):
    return SourceFile(name, purpose, without, (f"{_GQA}/{name}",), size, sha256, required)


_TEST_ONLY = "training and validation"
_VAL_ONLY = "scoring test predictions"
NEXTGQA = (
    _gqa("val.csv", 638_860, "ac5a1eb1d6dee9cd84ab7f9c94ab345b2404646f24b79ac182cd2aa9e2d424c1",
         "validation questions", _VAL_ONLY),
    _gqa("test.csv", 1_052_149, "0443ede53f521de4cbfb5e4fb02253926b90f81f62041b18bd17207a3511d114",
         "test questions", _TEST_ONLY),
    _gqa("gsub_val.json", 115_228,
         "4feb23e53102cb2d4779e857ff8f9fd9b552fc38435621406b2ed9b0bf76204b",
         "validation segments", _VAL_ONLY),
    _gqa("gsub_test.json", 195_500,
         "0c16c31699238a0f2b8ace45aeed7f193149ce2f011d6ed4f1ef7170ef5d41e9",
         "test segments", _TEST_ONLY),
    _gqa("frame2time_val.json", 112_598,
         "61dca3cc960848127e3bc7aa173a64a28f1df730e32b9f4c8c0399d04b04f029",
         "validation time stamps", _VAL_ONLY),
    _gqa("frame2time_test.json", 196_789,
         "e2a043e8c5141f15a212536343cd7d329ab212eac4917eb53aadf341abb30820",
         "test time stamps", _TEST_ONLY),
    SourceFile("train.csv", "training questions", "evaluation; training with --train-from nextoe",
               (f"{_GQA}/train.csv",), None, None),
    _gqa("upbd_val.json", 112_918,
         "a718cb126da5a2e4b5594f72eba83804deb5d1afa3e1f8b29ceee6cd63fa3218",
         "second official stamp file (data.stamps: upbd)", "everything by default", False),
    _gqa("upbd_test.json", 197_230,
         "ac4653ca6e621e5c36e1705ebc4ffd3e3670ac35b79b85e980d489e1e601b0a2",
         "second official stamp file (data.stamps: upbd)", "everything by default", False),
    _gqa("train_gpt4_sub.json", 1_330_281,
         "88cc6f058f2ec94b4293d359fe973e36d9fb1af43beaf0c049bb9302e2b258b5",
         "paraphrases of training questions", "all but paraphrase augmentation", False),
    SourceFile("nextoe/train.csv", "open-ended training questions (--train-from nextoe)",
               "everything with the official train.csv", (f"{_OE}/train.csv",), 3_729_576,
               "5e20b082a8a30bcd173533f1238c5dcaf7d784f14da89d86be2cc3dd1a9ab150", False),
    SourceFile("map_vid_vidorID.json", "video id -> folder of the raw VidOR videos",
               "everything with features or flat videos", (f"{_QA}/map_vid_vidorID.json",),
               331_540, "1955d89e7a175346faf8d4a582297ff349619231394f59fd7872f459ac8a8685", False),
    *(SourceFile(f"video_feature/clip-vit-l14/{split}.h5", f"CLIP features of {split}",
                 "data card, causal sampling of text, scoring of finished predictions",
                 (_CLIP_FEATURES,), manual=True,
                 made_by="unpack the published CLIPL/ here, or `cra features extract`")
      for split in ("train", "val", "test")),
    SourceFile("videos/", "raw videos", "everything with published features; no frame figures",
               (_RAW_VIDEOS,), None, required=False, manual=True),
)  # fmt: skip


def _star(name: str, folder: str, purpose: str, required: bool = True) -> SourceFile:
    without = "the other datasets" if required else "everything but questions without times"
    return SourceFile(name, purpose, without, (f"{_STAR}/{folder}/{name}",), required=required)


STAR = (
    _star("STAR_train.json", "Question_Answer_SituationGraph", "training questions"),
    _star("STAR_val.json", "Question_Answer_SituationGraph", "questions that are reported on"),
    _star("Video_Segments.csv", "Situation_Video_Data", "times of questions", required=False),
    SourceFile("videos/", "Charades videos, 480p (unpack the archive here)", "nothing of STAR",
               (_CHARADES,), 13_000_000_000, manual=True),
    *(SourceFile(f"{split}.csv", f"{split} questions in normal form", "nothing of STAR",
                 made_by="`cra prepare star`") for split in ("train", "val", "test")),
    *(SourceFile(f"{kind}_{split}.json", f"{split} {what}", "training",
                 made_by="`cra prepare star`")
      for split in ("val", "test")
      for kind, what in (("gsub", "segments"), ("frame2time", "time stamps"))),
    *(SourceFile(f"video_feature/clip-vit-l14/{split}.h5", f"CLIP features of {split}",
                 "preparation, data card", made_by="`cra features extract`")
      for split in ("train", "val", "test")),
)  # fmt: skip

_SHAPES_SPLITS = ("train", "val", "test_iid", "test", "test_ood")
SHAPES = (
    *(SourceFile(f"{split}.csv", f"{split} questions", "nothing; it takes about a minute to make",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS),
    *(SourceFile(f"gsub_{split}.json", f"{split} segments", "training",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS[1:]),
    *(SourceFile(f"frame2time_{split}.json", f"{split} time stamps", "training",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS[1:]),
    SourceFile("videos/", "rendered videos", "everything with features",
               made_by="`cra prepare shapes`"),
    *(SourceFile(f"video_feature/shapes-clip/{split}.h5", f"features of {split}", "data card",
                 made_by="`cra prepare shapes`") for split in _SHAPES_SPLITS),
)  # fmt: skip

SOURCES: dict[str, tuple[SourceFile, ...]] = {"shapes": SHAPES, "nextgqa": NEXTGQA, "star": STAR}
"""Dataset -> every file that something of it needs."""


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing(dataset: str, root: Path, train_from: str = "official") -> list[SourceFile]:
    """The dataset's files that are not in its folder and have an address.

    With `train_from` "nextoe" the open-ended training file takes the place of the official one.
    """
    absent = [
        source for source in SOURCES[dataset] if source.urls and not (root / source.path).exists()
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
