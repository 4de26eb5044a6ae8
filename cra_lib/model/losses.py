"""The losses, one function each: answers, and cross-modal alignment (4.3, 4.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

LOSS_WEIGHTS = {
    "answer": 1.0,
    "question": 1.0,
    "alignment_answer": 0.5,
    "alignment_question": 0.5,
}
"""Loss -> its weight in the total; the keys are the names in the training history."""


def loss_weights(alignment_weight: float = 0.5) -> dict[str, float]:
    """`LOSS_WEIGHTS` with another weight of both alignment losses."""
    aligned = {name: alignment_weight for name in LOSS_WEIGHTS if name.startswith("alignment")}
    return {**LOSS_WEIGHTS, **aligned}


def weighted(
    losses: dict[str, Float[Tensor, ""]], weights: dict[str, float] = LOSS_WEIGHTS
) -> Float[Tensor, ""]:
    """The weighted sum of the losses that are there."""
    return sum(weights[name] * value for name, value in losses.items())


def answer_loss(
    answer_logits: Float[Tensor, "B C"], truth_index: Int[Tensor, "B"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the right candidate, in both stages."""
    return F.cross_entropy(answer_logits, truth_index)


def _alone(local: Tensor) -> Tensor:
    """What a single process gathers: its own samples."""
    return local


def alignment_loss(
    evidence: Float[Tensor, "B D"],
    texts: Float[Tensor, "B D"],
    video_ids: Int[Tensor, "B"],
    text_ids: Int[Tensor, "B"],
    temperature: float = 0.07,
    gather: Callable[[Tensor], Tensor] = _alone,
) -> Float[Tensor, ""]:
    """InfoNCE in both directions: text and evidence of a sample are nearest to each other.

    Every other sample of the global batch is a negative, unless it shares the anchor's video or
    text. A batch without negatives contributes 0.

    Args:
        video_ids: equal numbers, same video; likewise ``text_ids``.
        gather: local samples [B, ...] -> those of all processes [W B, ...], with gradients.
    """
    evidence, texts = gather(F.normalize(evidence, dim=-1)), gather(F.normalize(texts, dim=-1))
    video_ids, text_ids = gather(video_ids), gather(text_ids)
    same = (video_ids[:, None] == video_ids) | (text_ids[:, None] == text_ids)
    same.fill_diagonal_(False)
    similarity = texts.float() @ evidence.float().T / temperature
    similarity = similarity.masked_fill(same, -torch.inf)
    target = torch.arange(len(texts), device=texts.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def draw_negatives(
    batch_size: int, num_negatives: int, generator: torch.Generator | None = None
) -> Int[Tensor, "B M"]:
    """For each anchor, samples of the rest of the batch, with replacement."""
    others = torch.randint(batch_size - 1, (batch_size, num_negatives), generator=generator)
    return others + (others >= torch.arange(batch_size)[:, None])  # skip the anchor itself


def released_alignment_loss(
    evidence: Float[Tensor, "B D"],
    texts: Float[Tensor, "B D"],
    negatives: Int[Tensor, "B M"] | Float[Tensor, "B M D"],
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """InfoNCE as released: text to video only, against the negatives that are given.

    Args:
        negatives: positions in the batch (as `draw_negatives` gives), or evidence itself.
    """
    if not negatives.is_floating_point():
        negatives = evidence[negatives.to(evidence.device)]
    texts, evidence = F.normalize(texts, dim=-1), F.normalize(evidence, dim=-1)
    right = (texts * evidence).sum(dim=-1, keepdim=True)
    wrong = torch.einsum("bd,bmd->bm", texts, F.normalize(negatives, dim=-1))
    scores = torch.cat([right, wrong], dim=-1) / temperature
    return F.cross_entropy(scores, torch.zeros_like(scores[:, 0], dtype=torch.long))
