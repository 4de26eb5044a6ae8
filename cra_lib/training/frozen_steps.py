"""The losses of one training step with a frozen language model: yes or no for each candidate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cra_lib.data.batches import Batch
from cra_lib.model.frozen_bilm.candidates import read_candidates
from cra_lib.model.losses import yes_no_loss
from cra_lib.training.steps import Objective, aligned_losses, stages_of


def frozen_step_losses(model: nn.Module, batch: Batch, objective: Objective) -> dict[str, Tensor]:
    """Every loss of one step; the prompts of both stages are read together."""
    stages = stages_of(batch, objective)
    rows = torch.cat([stage.rows for stage in stages], dim=1)
    output = read_candidates(model, batch.features, batch.chunks, rows)
    places = torch.arange(len(rows), device=rows.device)
    losses, start = {}, 0
    for stage in stages:
        logits = output.answer_logits[:, start : start + stage.rows.shape[1]].float()
        losses[stage.name] = (yes_no_loss(logits, stage.index) * batch.weights).mean()
        if objective.alignment != "none":
            # The language model's states of frames have read the words, and those of words the
            # frames: from them a pair is told wherever the grounding looks. As described each side
            # is its modality's own, before the language model.
            sides = output.segment, output.wording
            if objective.alignment == "released":
                sides = output.evidence, output.query
            right = places, start + stage.index
            losses[f"alignment_{stage.name}"] = aligned_losses(
                *(side[right] for side in sides), stage, batch, objective
            )
        start += stage.rows.shape[1]
    return losses
