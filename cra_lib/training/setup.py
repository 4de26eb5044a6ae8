"""Sets a run up: devices, arithmetic, model, optimizer, batches."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from cra_lib.config import RunConfig, TrainConfig
from cra_lib.data.batches import Split, TrainingBatches
from cra_lib.data.confounders import read_confounders
from cra_lib.data.distractors import DistractorSampler
from cra_lib.inference.fabric import DDPStrategy, Fabric, make_fabric
from cra_lib.inference.predict import Evaluation, chunk_tokens, is_padded
from cra_lib.model import build_model
from cra_lib.model.base import GroundedModel
from cra_lib.model.frozen_bilm import FrozenBiLM
from cra_lib.model.saving import WEIGHTS
from cra_lib.model.text import SHAPES_LM_ALIGNED
from cra_lib.paths import DataFiles, require
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.causal.strata import Strata


@dataclass
class Engine:
    """What a run is made of, once it is set up."""

    config: RunConfig
    fabric: Fabric
    model: nn.Module
    step: nn.Module
    """The losses of a step, wrapped by Fabric: precision, device, averaged gradients."""
    optimizer: torch.optim.Optimizer
    take_step: Any
    """The optimizer as Fabric wraps it (it scales gradients in 16-bit floats)."""
    batches: TrainingBatches
    validation: Evaluation
    stop: threading.Event

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch."""
        return -(-len(self.batches) // self.config.train.accumulate)


def open_fabric(train: TrainConfig) -> Fabric:
    """The processes and devices that the settings ask for, started.

    Raises:
        InputError: a device that is not there, more devices than present, or several processes
            from inside a notebook.
    """
    use_cuda = wants_cuda(train.accelerator)
    present = torch.cuda.device_count() if use_cuda else (os.cpu_count() or 1)
    if train.devices > present:
        what = "CUDA devices" if use_cuda else "CPU cores"
        raise InputError(f"train.devices = {train.devices}, but this machine has {present} {what}.")
    if train.precision == "bf16-mixed" and not use_cuda and not multiplies_bf16():
        warnings.warn(
            "This processor has no bf16 instructions: bf16-mixed will be several times slower "
            "than 32-true.",
            stacklevel=2,
        )
    several = train.devices * train.num_nodes > 1
    if several and "ipykernel" in sys.modules:
        raise InputError(
            "A notebook kernel cannot be split into several processes; "
            "train with `cra train`, or set train.devices to 1."
        )
    # The released variants have parameters that never get a gradient.
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    fabric = make_fabric(
        accelerator="cuda" if use_cuda else "cpu",
        devices=train.devices,
        num_nodes=train.num_nodes,
        strategy=strategy,
        precision=train.precision,
    )
    if several:
        fabric.launch()
    return fabric


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for bf16; torch emulates them elsewhere."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def wants_cuda(accelerator: str) -> bool:
    """Whether these settings mean a CUDA device on this machine.

    Raises:
        InputError: no such accelerator, or none is present.
    """
    if accelerator not in ("auto", "cpu", "cuda", "gpu"):
        raise InputError(f"train.accelerator should be auto, cpu or cuda, got {accelerator!r}.")
    available = torch.cuda.is_available()
    if accelerator in ("cuda", "gpu") and not available:
        raise InputError("train.accelerator asks for CUDA, but no CUDA device is present.")
    return available and accelerator != "cpu"


@contextmanager
def arithmetic(train: TrainConfig) -> Iterator[None]:
    """Threads and determinism of a run; both are as before afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    wanted = train.deterministic
    if wanted is None:
        wanted = not wants_cuda(train.accelerator)
    # cuBLAS reads this when it starts; without it deterministic mode refuses to multiply.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        if train.threads:
            torch.set_num_threads(train.threads)
        torch.use_deterministic_algorithms(wanted)
        # Filling fresh memory guards against reads of it, which nothing here does.
        torch.utils.deterministic.fill_uninitialized_memory = False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was spec.*")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filling


def _confounders(config: RunConfig, data: DataFiles, kind: str) -> np.ndarray:
    """The centres that a run's settings ask for: [K, F] (visual) or [K, 8, N] (language).

    Raises:
        InputError: they are missing, damaged, or of another number.
    """
    number = config.causal.num_confounders
    path = data.confounders(kind, number)
    centres = read_confounders(path, kind)
    if len(centres) != number:
        raise InputError(
            f"{path} holds {len(centres)} centres and causal.num_confounders is {number}; run "
            f"`cra confounders sample {config.dataset} --num-confounders {number}` first."
        )
    return centres


def new_model(config: RunConfig, data: DataFiles) -> nn.Module:
    """A model at the start of training, its random weights fixed by the run's seed.

    Raises:
        InputError: confounders that are needed but not sampled yet, damaged, or that do not fit.
    """
    torch.manual_seed(config.seed)
    visual = graphs = None
    if config.model.front_door != "none":
        visual = torch.from_numpy(_confounders(config, data, "visual"))
    if config.model.back_door != "none":
        graphs = torch.from_numpy(_confounders(config, data, "language"))
    model = build_model(
        config.model,
        visual=visual,
        graphs=graphs,
        feature_width=config.data.feature_width,
        mask_sigma=config.span.sigma,
    )
    if config.train.start_from:
        name = config.train.start_from
        start_from(model, SHAPES_LM_ALIGNED if name == "shapes-lm" else Path(name).expanduser())
    if config.model.is_frozen:
        return _economical(model, config.train)
    if config.train.compile:
        # Texts and videos carry nearly all of the work; their shapes change from step to step.
        model.is_compiled = True
        model.encode_text = torch.compile(model.encode_text, dynamic=True)
        model.encode_video = torch.compile(model.encode_video, dynamic=True)
    return model


def start_from(model: nn.Module, folder: Path) -> None:
    """Take over the trained weights of a model folder where name and shape agree.

    Raises:
        InputError: no model folder, or none of its weights fits.
    """
    path = require(folder / WEIGHTS, "Weights to start from (train.start_from)", "Check the path.")
    own, given = model.trained_state(), load_file(path)
    shared = {n: v for n, v in given.items() if n in own and own[n].shape == v.shape}
    if not shared:
        raise InputError(f"{path}: none of its weights fits the model; nothing to start from.")
    model.load_trained_state({**own, **shared})


def _economical(model: nn.Module, train: TrainConfig) -> nn.Module:
    """A frozen backbone as the settings want it trained."""
    if train.compile:
        raise InputError("train.compile is not supported with a frozen language model; unset it.")
    if train.strata:
        raise InputError("train.strata is not built for a frozen language model; unset it.")
    if train.gradient_checkpointing:
        model.language.checkpoint_layers()
    return model


def new_optimizer(model: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """Adam over what is trained; the pre-trained part may have a learning rate of its own."""
    pretrained = [model.text.backbone] if isinstance(model, GroundedModel) else []
    if isinstance(model, FrozenBiLM):
        pretrained = [model.language, model.frames]
    text = [p for part in pretrained for p in part.parameters() if p.requires_grad]
    apart = {id(parameter) for parameter in text}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in apart]
    groups = [{"params": rest, "factor": 1.0}] if rest else []
    if text:
        groups.append({"params": text, "factor": train.text_learning_rate_factor})
    # The fused kernel unscales gradients itself, which leaves nothing to clip in 16-bit floats.
    return torch.optim.Adam(
        groups,
        lr=train.learning_rate,
        betas=(0.9, train.beta2),
        amsgrad=train.amsgrad,
        fused=train.precision != "16-mixed",
    )


def training_batches(
    config: RunConfig, data: DataFiles, split: Split, fabric: Fabric
) -> TrainingBatches:
    """This process's batches of the training split."""
    train = config.train
    sampler = DistractorSampler(
        split.questions,
        split.texts,
        same_video_probability=train.same_video_probability,
        random_answer_probability=train.random_answer_probability,
        paraphrase_probability=train.paraphrase_probability,
        exclude_truth=train.distractors == "described",
    )
    return TrainingBatches(
        split,
        sampler,
        batch_size=train.batch_size,
        seed=config.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        question_stage=train.question_stage,
        chunk_tokens=chunk_tokens(config, fabric.device),
        fixed_width=is_padded(config),
        num_negatives=train.num_negatives if train.alignment == "released" else 0,
        drop_last=train.drop_last,
        strata=strata_of(config, data, split) if train.strata else None,
    )


def strata_of(config: RunConfig, data: DataFiles, split: Split) -> Strata:
    """What the strata of the sampled dictionaries say of the training answers.

    Raises:
        InputError: confounders that are not sampled yet, or damaged.
    """
    from cra_lib.causal.strata import (
        answer_classes,
        language_entries,
        make_strata,
        visual_entries,
    )

    graphs = _confounders(config, data, "language")
    frames = _confounders(config, data, "visual")
    asked, said = language_entries(
        split.texts.questions, split.texts.answers, graphs, config.causal
    )
    seen = visual_entries(split.features.numpy(), frames)
    # A paraphrase is asked in the stratum of the question that it stands for.
    strata = asked[split.texts.question_text], seen[split.video_index]
    right = np.array([question.answer for question in split.questions])
    classes = answer_classes(said, split.texts.choices)
    return make_strata(classes, strata, split.texts.choices, right)
