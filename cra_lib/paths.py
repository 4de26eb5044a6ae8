"""The only place that knows where files lie, and how a file is written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cra_lib.datasets import DATASETS, dataset_named
from cra_lib.records import InputError, stored


def repository_root() -> Path:
    """The folder that holds notebooks/ and results/ (``CRA_ROOT``, the clone, or here)."""
    if root := os.environ.get("CRA_ROOT"):
        return Path(root).resolve()
    clone = Path(__file__).resolve().parent.parent
    return clone if (clone / "notebooks").is_dir() else Path.cwd()


def clone_file(*parts: str) -> Path:
    """A file of the repository that the installed package does not carry.

    Raises:
        InputError: the command runs outside of a clone.
    """
    root = repository_root()
    if not (root / parts[0]).is_dir():
        raise InputError(
            f"This needs {'/'.join(parts)} of the repository, which the installed package does not "
            f"carry and {root} does not hold; run in a clone, or set CRA_ROOT to its folder."
        )
    return root.joinpath(*parts)


def profile_path(dataset: str, profile: str) -> Path:
    """``workflow/profiles/<dataset>-<profile>.yaml``.

    Raises:
        InputError: the command runs outside of a clone.
    """
    return clone_file("workflow", "profiles", f"{dataset}-{profile}.yaml")


def dataset_dir(data_dir: str | Path, dataset: str) -> Path:
    """The folder of one dataset: ``DIR/<dataset>``, or DIR itself where it holds the files."""
    data_dir = Path(data_dir)
    own = any((data_dir / mark).exists() for each in DATASETS.values() for mark in each.marks)
    return data_dir if own else data_dir / dataset


@dataclass(frozen=True)
class DataFiles:
    """The normal form on disk of one dataset."""

    root: Path

    def questions(self, split: str) -> Path:
        return self.root / f"{split}.csv"

    def segments(self, split: str) -> Path:
        return self.root / f"gsub_{split}.json"

    def stamps(self, split: str, kind: str = "frame2time") -> Path:
        return self.root / f"{kind}_{split}.json"

    @property
    def paraphrases(self) -> Path:
        return self.root / "train_gpt4_sub.json"

    def features(self, encoder: str, split: str) -> Path:
        return self.root / "video_feature" / encoder / f"{split}.h5"

    def video(self, video_id: str) -> Path:
        return self.root / "videos" / f"{video_id}.mp4"

    @property
    def visual_confounders(self) -> Path:
        return self.root / "causal_feature" / "visual.safetensors"

    @property
    def language_confounders(self) -> Path:
        return self.root / "causal_feature" / "language.safetensors"

    def confounders(self, kind: str, number: int) -> Path:
        """The dictionary ("visual" or "language") of a run with ``number`` confounders: one of its
        own (`own_confounders`) where that was sampled, else the one of the profile."""
        own, usual = self.own_confounders(kind, number), getattr(self, f"{kind}_confounders")
        return own if own.is_file() else usual

    def own_confounders(self, kind: str, number: int) -> Path:
        """Where a dictionary of another size than the profile's lies."""
        return self.root / "causal_feature" / f"{kind}-{number}.safetensors"


@dataclass(frozen=True)
class RunFiles:
    """Everything one trained model leaves behind."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def weights(self) -> Path:
        return self.root / "model.safetensors"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime.json"

    @property
    def resume(self) -> Path:
        """State of an unfinished training; removed when it is done."""
        return self.root / "resume"

    def predictions(self, split: str) -> Path:
        return self.root / f"predictions_{split}.jsonl"

    def scores(self, split: str) -> Path:
        return self.root / f"scores_{split}.json"

    def video_scores(self, split: str) -> Path:
        """Sums of the scores of each video, for intervals over videos and seeds."""
        return self.root / f"scores_by_video_{split}.csv"


RUN_NAME = re.compile(r"[a-z][\w+-]*(@[\w.,=+-]+)?", re.ASCII)
"""A variant, or one with settings of its own: ``cra@train.epochs=3``."""


@dataclass(frozen=True)
class ResultFiles:
    """The products of one dataset: ``results/<dataset>``, or a folder that the caller chose."""

    root: Path

    def run(self, variant: str, seed: int) -> RunFiles:
        """The folder of one run.

        Raises:
            InputError: a name or seed that would lead to another place.
        """
        if not RUN_NAME.fullmatch(str(variant)) or not str(seed).isdecimal():
            raise InputError(f"{variant!r}, seed {seed!r}: not the name of a run, such as 'cra'.")
        return RunFiles(self.root / "runs" / variant / f"seed{seed}")

    @property
    def data_card(self) -> Path:
        return self.root / "data_card.json"

    @property
    def confounders_card(self) -> Path:
        return self.root / "confounders_card.json"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def explorer(self) -> Path:
        return self.root / "explorer.html"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"


def data_files(dataset: str, data_dir: str | Path | None = None) -> DataFiles:
    """The files of a dataset, in a folder of datasets or its own; default: data/ of the repository.

    Raises:
        InputError: an unknown dataset.
    """
    name = dataset_named(dataset).name
    return DataFiles(dataset_dir(data_dir or repository_root() / "data", name))


def result_files(dataset: str, results_dir: str | Path | None = None) -> ResultFiles:
    """Where the products of a dataset go; default: results/<dataset> of the repository.

    Raises:
        InputError: an unknown dataset.
    """
    name = dataset_named(dataset).name
    return ResultFiles(Path(results_dir or repository_root() / "results" / name))


def published_csv() -> Path:
    """The published results with their sources, which come with the package.

    ``results/published.csv`` of the repository is a link to this file.
    """
    return Path(__file__).resolve().parent / "evaluator" / "published.csv"


def claims_yaml() -> Path:
    """What the paper and we say about methods, for results to hold or to contradict."""
    return repository_root() / "results" / "claims.yaml"


def expected_json(name: str) -> Path:
    """Numbers of a real run that later runs are checked against."""
    return repository_root() / "results" / "expected" / f"{name}.json"


def require(path: Path, what: str, remedy: str) -> Path:
    """The path, if the file is there, as named or compressed (`records.stored`).

    Raises:
        InputError: ``what`` is missing at ``path``, and what to do about it.
    """
    if stored(path) is None:
        raise InputError(f"{what} not found at {path}. {remedy}")
    return path


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


REFUSED = ("inline_container.cc", "Error while serializing: I/O error", ", error message = '")
"""How torch, safetensors and HDF5 say, in errors of their own, that the system refused to write."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; renamed into place if the block succeeds.

    A crash, a full disk or an exception leaves the old file as it was and no half-written one.
    The temporary keeps the file's suffix, so that writers which look at it still work.

    Raises:
        OSError: naming ``path``, where the system refuses to write, whatever the writer raised.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException as error:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if not isinstance(error, InputError) and any(words in str(error) for words in REFUSED):
            why = "cannot be written; the disk may be full"
            raise OSError(errno.EIO, why, str(path)) from error
        raise


PARTIAL = re.compile(r"\..+\.(\d+)\.partial(\..+)?")
"""Name of a file that a process (its number is in it) has not finished writing; see `atomic`."""


def remove_unfinished(*folders: Path, stem: str = "") -> None:
    """Remove what processes that are gone had begun to write below some folders.

    Args:
        stem: only what was to become a file of this name without its suffix. Folders in which
            another machine may be writing should be swept for their own files alone: its
            processes look as if they were gone.
    """
    for folder in folders:
        for path in sorted(folder.rglob(f".{stem}*.partial*")) if folder.is_dir() else ():
            found = PARTIAL.fullmatch(path.name)
            if found and not is_alive(int(found[1])):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of this number is there, on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
