"""What is there and what is missing: every file that a dataset needs, and what works without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from cra_lib.data.download import readable
from cra_lib.data.nextgqa import PUBLISHED_FEATURES
from cra_lib.datasets import SourceFile, dataset_named
from cra_lib.paths import DataFiles, sha256
from cra_lib.video.encoders import hub_folder

Status = Literal["present", "missing", "wrong hash", "empty"]
MAX_HASHED = 200_000_000
"""Larger files are not hashed: the doctor should answer within seconds."""


@dataclass(frozen=True)
class Finding:
    """The state of one file, model or package."""

    name: str
    status: Status
    size: int | None
    """Bytes on disk, or of the official file where it is missing and known."""
    source: str
    purpose: str
    without: str
    required: bool

    @property
    def healthy(self) -> bool:
        """Whether nothing stands in the way: present, or missing but not required."""
        return self.status == "present" or (self.status == "missing" and not self.required)


def examine(dataset: str, files: DataFiles) -> list[Finding]:
    """Every file of a dataset, then the pre-trained models and packages that it uses.

    Raises:
        InputError: an unknown dataset.
    """
    entry, root = dataset_named(dataset), files.root
    findings = [_file(source, root) for source in entry.files]
    findings += [_model(name, size) for name, size in entry.models.items()]
    findings += [_optional_model(name, size) for name, size in entry.optional_models.items()]
    if entry.parser:
        findings.append(_parser(entry.parser))
    return findings


def _file(source: SourceFile, root: Path) -> Finding:
    path = _where(root, source.path)
    return Finding(
        name=source.path,
        status=_status(source, path),
        size=_size(path) if path.exists() else source.size,
        source=_source(source),
        purpose=source.purpose,
        without=source.without,
        required=source.required,
    )


def _where(root: Path, name: str) -> Path:
    """Where a file lies: features also as their authors publish them."""
    place = root / name
    if not place.exists() and name.startswith("video_feature/clip-vit-l14/"):
        published = (root / p.format(split=place.stem) for p in PUBLISHED_FEATURES)
        return next(filter(Path.is_file, published), place)
    return place


def _status(source: SourceFile, path: Path) -> Status:
    if not path.exists():
        return "missing"
    if path.is_dir():
        return "present" if any(path.iterdir()) else "empty"
    if path.stat().st_size == 0:
        return "empty"
    if source.sha256 and path.stat().st_size < MAX_HASHED and sha256(path) != source.sha256:
        return "wrong hash"
    return "present"


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _source(source: SourceFile) -> str:
    ways = [source.made_by] if source.made_by else []
    return " or ".join([*ways, *source.urls])


def _model(name: str, size: int) -> Finding:
    """Weights of the hub; the size is an estimate while they are missing."""
    folder = hub_folder(name) / "snapshots"
    there = folder.is_dir() and any(folder.iterdir())
    return Finding(
        name=f"model {name}",
        status="present" if there else "missing",
        size=_size(folder) if there else size,
        source=f"`hf download {name}`, or a local folder in the settings",
        purpose="pre-trained weights",
        without="data preparation, scoring; the shapes dataset in full",
        required=True,
    )


def _optional_model(name: str, size: int) -> Finding:
    """Weights of a variant that not everybody trains."""
    return replace(
        _model(name, size),
        purpose="frozen language model of the frozen-* variants",
        without="every variant that does not start with frozen-",
        required=False,
    )


def _parser(name: str) -> Finding:
    return Finding(
        name=f"parser {name}",
        status="present" if find_spec(name) else "missing",
        size=None,
        source=f"`python -m spacy download {name}`",
        purpose="parses questions for the confounders",
        without='everything, with `parser: "rules"` in the causal settings',
        required=False,
    )


def report(findings: list[Finding]) -> Iterator[str]:
    """Lines for a terminal: one a finding; where something is missing, source and consequence."""
    width = max(len(finding.name) for finding in findings) + 2
    for finding in findings:
        note = "" if finding.required else " (optional)"
        size = "" if finding.size is None else readable(finding.size)
        yield f"{finding.status:11}{finding.name:{width}}{size:>10}  {finding.purpose}{note}"
        if finding.status != "present":
            yield f"{'':13}from: {finding.source}"
            yield f"{'':13}without it still works: {finding.without}"
    bad = sum(not finding.healthy for finding in findings)
    yield "complete" if not bad else f"{bad} of {len(findings)} are missing or damaged"
