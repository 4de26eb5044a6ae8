"""What a training run says about itself: history.csv, one line an epoch, a bar, TensorBoard."""

from __future__ import annotations

import csv
import json
import platform
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cra_lib.config import RunConfig
from cra_lib.data.machine import processor_name
from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.inference.fabric import Fabric
from cra_lib.paths import RunFiles, atomic, require
from cra_lib.records import InputError

TERMS = ("answer", "question", "alignment_answer", "alignment_question")
"""Names of the loss terms; a term that a variant does not train is absent from its steps."""

HISTORY_COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "loss",
    *(f"loss_{term}" for term in TERMS),
    "sigma",
    "grad_norm",
    "samples_per_second",
    "memory_gb",
    "seconds",
    "val_Acc@QA",
    "val_Acc@GQA",
    "val_mIoU",
)


class Meter:
    """Sums over the steps of an epoch, kept on the device so that no step waits for a number.

    Args:
        totals: what an earlier part of the epoch had summed up.
    """

    NAMES = ("questions", "steps", "grad_norm", "loss", *TERMS)

    def __init__(self, device: torch.device, totals: list[float] | None = None):
        start = totals or [0.0] * len(self.NAMES)
        self._totals = torch.tensor(start, dtype=torch.float64, device=device)
        self._zero = torch.zeros((), device=device)

    def add_batch(self, size: int, loss: Tensor, losses: Mapping[str, Tensor]) -> None:
        """Count one batch of ``size`` questions."""
        terms = [losses[term].detach() if term in losses else self._zero for term in TERMS]
        values = torch.stack([loss.detach(), *terms]).double()
        self._totals[3:] += size * values
        self._totals[0] += size

    def add_step(self, grad_norm: Tensor) -> None:
        """Count one optimizer step."""
        self._totals[1] += 1
        self._totals[2] += grad_norm.detach().double()

    def average(self, fabric: Fabric) -> None:
        """Take the mean over all processes: each has the loss of its own share."""
        self._totals = fabric.all_reduce(self._totals, reduce_op="mean")

    def totals(self) -> list[float]:
        """The sums so far, as plain numbers."""
        return self._totals.tolist()

    def means(self, trained: Iterable[str]) -> dict[str, float | None]:
        """Means over questions (losses) and steps (grad_norm); None for untrained terms."""
        total = dict(zip(self.NAMES, self.totals(), strict=True))
        questions, steps = max(total["questions"], 1.0), max(total["steps"], 1.0)
        trained = set(trained)
        return {
            "loss": total["loss"] / questions,
            **{f"loss_{t}": total[t] / questions if t in trained else None for t in TERMS},
            "grad_norm": total["grad_norm"] / steps,
        }


def write_history(run: RunFiles, rows: list[dict[str, Any]]) -> None:
    """Write history.csv; what a row does not know is an empty cell."""
    with atomic(run.history) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(row.get(name)) for name in HISTORY_COLUMNS} for row in rows)


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """One line of a log for one epoch."""
    shown = [f"epoch {row['epoch']:>2}/{epochs}", f"loss {row['loss']:.4f}"]
    for name in HEADLINE:
        if (value := row.get(f"val_{name}")) is not None:
            shown.append(f"val {name} {value:5.2f}")
    shown += [f"{row['samples_per_second']:.1f} questions/s", f"{row['seconds']:.1f} s"]
    return "  ".join(shown)


def event_writer(run: RunFiles, wanted: bool) -> Callable[[Mapping[str, Any]], None]:
    """A function that takes a history row to TensorBoard, or one that does nothing."""
    if not wanted:
        return lambda row: None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.root / "tensorboard"))

    def write(row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step"):
                group = "validation" if name.startswith("val_") else "training"
                writer.add_scalar(f"{group}/{name}", value, row["epoch"])
        writer.flush()

    return write


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory of this process, in GB: the device's on a GPU, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def instruction_set(device: torch.device) -> str:
    """Which of its kernels torch runs: "avx2", "avx512", "default" (``ATEN_CPU_CAPABILITY`` chooses
    a lesser one), or "cuda". Runs of one seed agree to the bit only where this is the same.
    """
    if device.type == "cuda":
        return "cuda"
    return torch.backends.cpu.get_cpu_capability().lower()


def read_runtime(run: RunFiles) -> dict[str, Any]:
    """What `write_runtime` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = require(run.runtime, "Record of the training", "Train this run again.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); train this run again.") from None


def write_runtime(path: Path, config: RunConfig, device: torch.device, **facts: Any) -> None:
    """Write runtime.json: what the run cost, where, and with which versions."""
    is_cuda = device.type == "cuda"
    about = {
        "dataset": config.dataset,
        "variant": config.variant,
        "seed": config.seed,
        **facts,
        "precision": config.train.precision,
        "processes": config.train.devices * config.train.num_nodes,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if is_cuda else processor_name(),
        "instruction_set": instruction_set(device),
        "peak_memory_gb": round(peak_memory_gb(device), 3),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": version("lightning"),
        "transformers": version("transformers"),
    }
    with atomic(path) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
