"""Brings batches to the device, and watches that losses stay finite."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from cra_lib.data.batches import Batch, question_keys
from cra_lib.data.progress import with_bar
from cra_lib.inference.fabric import apply_to_collection
from cra_lib.paths import RunFiles, atomic
from cra_lib.training.setup import Engine
from cra_lib.training.state import Progress


class NonFiniteLoss(ArithmeticError):
    """The loss of a batch is NaN or infinite; the argument is the batch's place in its epoch."""


class LossWatch:
    """Looks whether losses are finite: at once on a CPU, in bundles where looking means waiting."""

    def __init__(self, device: torch.device):
        self.every = 1 if device.type == "cpu" else 50
        self.seen: list[tuple[int, Tensor]] = []

    def look(self, place: int, loss: Tensor) -> None:
        """Note the loss of a batch, and check a full bundle."""
        self.seen.append((place, loss.detach()))
        if len(self.seen) >= self.every:
            self.check()

    def check(self) -> None:
        """Check what was noted.

        Raises:
            NonFiniteLoss: naming the first batch with a loss that is not finite.
        """
        if self.seen:
            finite = torch.stack([loss for _, loss in self.seen]).isfinite().tolist()
            for (place, _), good in zip(self.seen, finite, strict=True):
                if not good:
                    raise NonFiniteLoss(place)
        self.seen.clear()


def groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """The batches of each optimizer step."""
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group


def loaded(engine: Engine, progress: Progress) -> Iterator[Batch]:
    """The rest of the epoch's batches on the device; on a GPU made ready in the background."""
    batches = engine.batches.epoch(progress.epoch, start=progress.batches)
    if engine.fabric.device.type == "cuda":
        pinned = (apply_to_collection(batch, Tensor, Tensor.pin_memory) for batch in batches)
        batches = map(engine.fabric.to_device, in_background(pinned))
    total = len(engine.batches) - progress.batches
    shown = engine.fabric.is_global_zero
    waiting = with_bar(batches, total, f"epoch {progress.epoch + 1}", "step", shown=shown)
    while True:
        start = time.perf_counter()
        batch = next(waiting, None)
        progress.loading += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def in_background(items: Iterable[Any], ahead: int = 3) -> Iterator[Any]:
    """The items, made by a thread that works a few of them ahead; its errors come out here."""
    ready: queue.Queue = queue.Queue(ahead)
    abandoned = threading.Event()

    def work() -> None:
        try:
            for item in items:
                ready.put((item, None))
                if abandoned.is_set():
                    return
            ready.put((None, StopIteration()))
        except BaseException as error:
            ready.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        abandoned.set()
        while not ready.empty():
            ready.get_nowait()


def diverged(engine: Engine, run: RunFiles, progress: Progress, place: int) -> FloatingPointError:
    """Save the batch whose loss is not finite; the error that names it."""
    batches = engine.batches
    batch = batches.batch(batches.plan(progress.epoch), place)
    keys = question_keys(batches.split, batch)
    path = run.root / "failed_batch.pt"
    with atomic(path) as partial:
        torch.save(
            {
                "epoch": progress.epoch + 1,
                "batch_of_epoch": place,
                "step": progress.step,
                "keys": keys,
                "batch": {**batch._asdict(), "chunks": [tuple(chunk) for chunk in batch.chunks]},
            },
            partial,
        )
    shown = ", ".join(keys[:8]) + (", ..." if len(keys) > 8 else "")
    return FloatingPointError(
        f"The loss is not finite in epoch {progress.epoch + 1}, step {progress.step + 1} "
        f"(questions {shown}); the batch is saved at {path}. Lower train.learning_rate, or look "
        "at the features of these videos."
    )
