"""The losses of one training step: both stages, alignment over all processes (4.3 and 4.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cra_lib.data.batches import Batch
from cra_lib.model.losses import alignment_loss, answer_loss, released_alignment_loss


@dataclass(frozen=True)
class Objective:
    """Which losses a step has, and how they are put together."""

    question_stage: bool = True
    alignment: str = "symmetric"
    """symmetric, released or none."""
    temperature: float = 0.07

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses."""
        stages = ("answer", "question") if self.question_stage else ("answer",)
        aligned = () if self.alignment == "none" else stages
        return (*stages, *(f"alignment_{stage}" for stage in aligned))


class Stage(NamedTuple):
    """One of the two tasks of a step: which candidate belongs to this video?"""

    name: str
    rows: Tensor
    """[B, C] the candidates among the batch's texts."""
    index: Tensor
    """[B] the true one."""
    text_ids: Tensor
    """[B] number of the true one's text."""
    asked_index: Tensor | None
    """[B] where the question itself stands among the candidates, if it is one of them."""
    offsets: Tensor
    """[B, C] added to the logits, or [B, 0]."""
    negatives: Tensor
    """[n, M] for each question of the step, others of it (released alignment)."""


def stages_of(batch: Batch, objective: Objective) -> list[Stage]:
    """The tasks of a step, the answer stage first."""
    stages = [
        Stage(
            "answer",
            batch.pair_rows,
            batch.answer_index,
            batch.pair_text_ids,
            None,
            batch.offsets,
            batch.negatives[0],
        ),
        Stage(
            "question",
            batch.question_rows,
            batch.question_index,
            batch.question_text_ids,
            batch.question_index,
            batch.offsets[:, :0],
            batch.negatives[1],
        ),
    ]
    return stages[: 1 + objective.question_stage]


def step_losses(model: nn.Module, batch: Batch, objective: Objective) -> dict[str, Tensor]:
    """Every loss of one step: video once, all texts once, then both stages."""
    video = model.encode_video(batch.features)
    texts = model.encode_chunks(batch.chunks)
    losses = {}
    for stage in stages_of(batch, objective):
        candidates = texts[stage.rows]
        output = model(video, candidates, model.query_of(candidates, stage.asked_index))
        logits = output.answer_logits.float()
        if stage.offsets.shape[1]:
            logits = logits + stage.offsets
        losses[stage.name] = answer_loss(logits, stage.index, batch.weights)
        if objective.alignment != "none":
            rows = torch.arange(len(candidates), device=candidates.device)
            truth = candidates[rows, stage.index]
            # As described, the segment is aligned before the intervention; as released, after it.
            aligned = output.evidence if objective.alignment == "released" else output.grounded
            losses[f"alignment_{stage.name}"] = aligned_losses(
                aligned, truth, stage, batch, objective
            )
    return losses


def aligned_losses(
    aligned: Tensor, truth: Tensor, stage: Stage, batch: Batch, objective: Objective
) -> Tensor:
    """The alignment loss of one stage over the step's questions of all processes."""
    if batch.num_questions == 1:
        return aligned.sum() * 0.0
    real = gather_rows(batch.weights) > 0

    def gather(local: Tensor) -> Tensor:
        rows = gather_rows(local)
        # A single process has no fillers, and indexing by a mask would wait for the device.
        return rows[real] if len(rows) > batch.num_questions else rows

    if objective.alignment == "released":
        return released_alignment_loss(
            gather(aligned), gather(truth), stage.negatives, objective.temperature
        )
    return alignment_loss(
        aligned, truth, batch.video_ids, stage.text_ids, objective.temperature, gather
    )


def gather_rows(local: Tensor) -> Tensor:
    """[B, ...] of this process to [W B, ...] of all, in order of rank; gradients find home."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return local
    return _GatherRows.apply(local)


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward sums what every process wants of this process's rows."""

    @staticmethod
    def forward(ctx, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


class TrainingStep(nn.Module):
    """The losses of a step as one module, so that its gradients are averaged over processes."""

    def __init__(
        self, model: nn.Module, objective: Objective, losses: Callable[..., Any] = step_losses
    ):
        super().__init__()
        self.model, self.objective, self.losses = model, objective, losses

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.losses(self.model, batch, self.objective)
