"""What a killed training needs to go on as if nothing had happened.

A checkpoint holds the weights, the optimizer and where the run stands. No generator state is
needed: order and distractors depend on (seed, epoch), dropout on (seed, step, process), see
`cra_lib.data.batches` and `seed_step`.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cra_lib.config import RunConfig
from cra_lib.inference.settings import first_difference
from cra_lib.paths import RunFiles, atomic
from cra_lib.records import InputError

STOPPED = 143
"""Exit status of a training that saved itself after SIGTERM (128 + 15, as the shell counts)."""


@dataclass
class Progress:
    """Where a run stands; plain numbers, so that `torch.load(weights_only=True)` reads it."""

    epoch: int = 0
    """Epochs done."""
    batches: int = 0
    """Batches done in the epoch under way."""
    step: int = 0
    """Optimizer steps done."""
    seconds: float = 0.0
    """Training time of the epoch under way, validation left out."""
    loading: float = 0.0
    """Seconds that the run waited for batches."""
    totals: list[float] = field(default_factory=list)
    """Sums over the steps of the epoch under way, see `cra_lib.training.log.Meter`."""
    history: list[dict[str, float | int | None]] = field(default_factory=list)
    """One row an epoch."""
    best: float | None = None
    """Best value of the selection metric."""
    best_epoch: int = 0
    """The epoch (from 1) it belongs to; 0 where there is none yet."""
    restarts: int = 0
    """How often the run was taken up again."""

    def is_patient(self, patience: int | None) -> bool:
        """False once ``patience`` epochs went by without a better one."""
        return patience is None or self.epoch - self.best_epoch < patience


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Make the randomness of one step (dropout, drawn negatives) a function of these numbers."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]) >> 1)


def save_state(
    run: RunFiles, config: RunConfig, model: nn.Module, optimizer, progress: Progress
) -> None:
    """Write the checkpoint whole or not at all, then drop the best weights it superseded."""
    state = {
        "config": config.model_dump(mode="json"),
        "progress": asdict(progress),
        "model": model.trained_state(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic(_state_path(run)) as partial:
        torch.save(state, partial)
    for folder in run.resume.glob("best-*"):
        if folder != best_folder(run, progress.best_epoch):
            shutil.rmtree(folder)


def load_state(run: RunFiles, config: RunConfig) -> dict[str, Any] | None:
    """The checkpoint of an unfinished run, or None.

    Raises:
        InputError: it belongs to a run with other settings, or cannot be read.
    """
    path = _state_path(run)
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name in ("model", "optimizer", "config"):
            if not isinstance(state[name], dict):
                raise TypeError(f"{name!r} is a {type(state[name]).__name__}")
        saved = state["config"]
        state["progress"] = _checked_progress(state["progress"])
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{path}: not a readable checkpoint ({why:.160}); delete it to "
            "start over (`cra train --fresh` does)."
        ) from None
    if difference := first_difference(saved, config.model_dump(mode="json")):
        name, old, new = difference
        raise InputError(
            f"{run.resume} holds an unfinished run with {name} = {old!r}, not {new!r}; "
            "finish it with its own settings, or delete it (`cra train --fresh` does)."
        )
    return state


def _checked_progress(values: Any) -> dict[str, Any]:
    """What a `Progress` holds; anything else raises."""
    known = {name: type(value) for name, value in asdict(Progress()).items()}
    if unlike := sorted(known.keys() ^ set(values)):
        raise KeyError(f"progress: {unlike[0]}")
    for name, kind in known.items():
        value = values[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind in (int, float) and not (is_number and 0 <= value < float("inf")):
            raise TypeError(f"progress: {name} is {value!r:.40}")
        if kind is list and not isinstance(value, list):
            raise TypeError(f"progress: {name} is a {type(value).__name__}")
    if not (values["best"] is None or isinstance(values["best"], int | float)):
        raise TypeError(f"progress: best is {values['best']!r:.40}")
    return dict(values)


@contextmanager
def restoring(run: RunFiles) -> Iterator[None]:
    """What does not fit while a checkpoint is put back, as a sentence.

    Raises:
        InputError: weights or optimizer state of another model.
    """
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        why = " ".join(str(error).split())
        raise InputError(
            f"{_state_path(run)}: it does not fit this model ({why:.160}); delete it to "
            "start over (`cra train --fresh` does)."
        ) from None


def best_folder(run: RunFiles, epoch: int) -> Path:
    """Where the weights of the best epoch lie until the run is done."""
    return run.resume / f"best-{epoch}"


def finish(run: RunFiles, progress: Progress) -> None:
    """Move the best weights to their place and remove what only an unfinished run needs."""
    for path in best_folder(run, progress.best_epoch).iterdir():
        os.replace(path, run.root / path.name)
    shutil.rmtree(run.resume)


def _state_path(run: RunFiles) -> Path:
    return run.resume / "state.pt"


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, so that the loop can save and leave between two steps.

    Outside the main thread signals cannot be caught; the event then stays unset.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    before = signal.signal(signal.SIGTERM, lambda *_: requested.set())
    try:
        yield requested
    finally:
        signal.signal(signal.SIGTERM, before)
