"""The losses, one function each: answers, and cross-modal alignment (4.3, 4.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from cra_lib.model.base import Vector

LOSS_WEIGHTS = {
    "answer": 1.0,
    "question": 1.0,
    "alignment_answer": 0.5,
    "alignment_question": 0.5,
}
"""Loss -> its weight in the total; the keys are the names in the training history."""

Loss = Float[Tensor, ""]
Ids = Int[Tensor, "B"]


def loss_weights(alignment_weight: float = 0.5) -> dict[str, float]:
    """`LOSS_WEIGHTS` with another weight of both alignment losses."""
    aligned = {name: alignment_weight for name in LOSS_WEIGHTS if name.startswith("alignment")}
    return {**LOSS_WEIGHTS, **aligned}


def weighted(losses: dict[str, Loss], weights: dict[str, float] = LOSS_WEIGHTS) -> Loss:
    """The weighted sum of the losses that are there."""
    return sum(weights[name] * value for name, value in losses.items())


def answer_loss(
    answer_logits: Float[Tensor, "B C"],
    truth_index: Ids,
    weights: Float[Tensor, "B"] | None = None,
) -> Loss:
    """Mean cross-entropy of the right candidate, in both stages; an index of -1 does not count.

    Args:
        weights: of each sample in the mean (`data.batches.Batch.weights`); None weighs all alike.
    """
    misses = F.cross_entropy(answer_logits, truth_index, reduction="none", ignore_index=-1)
    weighed = misses if weights is None else misses * weights
    return weighed.sum() / (truth_index != -1).sum()


def yes_no_loss(
    answer_logits: Float[Tensor, "B C 2"], truth_index: Ids, floor: float = -100.0
) -> Float[Tensor, "B"]:
    """Binary cross-entropy of FrozenBiLM, one value a question: yes to the truth, no to the rest.

    Half comes from the right candidate, half from the mean over the wrong ones.

    Args:
        answer_logits: logits of Yes and No at the mask, for each candidate.
        floor: log-probabilities are kept above it.
    """
    log_yes, log_no = answer_logits.log_softmax(dim=-1).clamp(min=floor).unbind(dim=-1)
    right = F.one_hot(truth_index, log_yes.shape[1]).to(log_yes.dtype)
    wrong = (log_no * (1 - right)).sum(dim=1) / (log_yes.shape[1] - 1)
    return -((log_yes * right).sum(dim=1) + wrong) / 2


def _alone(local: Tensor) -> Tensor:
    """What a single process gathers: its own samples."""
    return local


def alignment_loss(
    grounded: Vector,
    texts: Vector,
    video_ids: Ids,
    text_ids: Ids,
    temperature: float = 0.07,
    gather: Callable[[Tensor], Tensor] = _alone,
) -> Loss:
    """InfoNCE in both directions: the text and the grounded segment of a sample find each other.

    Every other sample of the global batch is a negative, unless it shares the anchor's video or
    text. A batch without negatives contributes 0.

    Args:
        grounded: `ModelOutput.grounded`, the segment before the intervention.
        texts: the right answer's text, or the true question's.
        video_ids: equal numbers, same video; likewise ``text_ids``.
        gather: local samples [B, ...] -> those of all processes [W B, ...], with gradients.
    """
    grounded, texts = gather(F.normalize(grounded, dim=-1)), gather(F.normalize(texts, dim=-1))
    video_ids, text_ids = gather(video_ids), gather(text_ids)
    same = (video_ids[:, None] == video_ids) | (text_ids[:, None] == text_ids)
    itself = torch.eye(len(same), dtype=torch.bool, device=same.device)
    similarity = (texts @ grounded.T / temperature).masked_fill(same & ~itself, -torch.inf)
    target = torch.arange(len(texts), device=texts.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def released_alignment_loss(
    evidence: Vector,
    texts: Vector,
    negatives: Int[Tensor, "B M"] | Float[Tensor, "B M D"],
    temperature: float = 0.07,
) -> Loss:
    """InfoNCE as released: text to video only, against the negatives that are given.

    Args:
        evidence: `ModelOutput.evidence`, the segment after the intervention.
        negatives: positions in the batch (drawn in `data.batches`), or evidence itself.
    """
    if not negatives.is_floating_point():
        negatives = evidence[negatives.to(evidence.device)]
    texts, evidence = F.normalize(texts, dim=-1), F.normalize(evidence, dim=-1)
    right = (texts * evidence).sum(dim=-1, keepdim=True)
    wrong = torch.einsum("bd,bmd->bm", texts, F.normalize(negatives, dim=-1))
    scores = torch.cat([right, wrong], dim=-1) / temperature
    return F.cross_entropy(scores, torch.zeros_like(scores[:, 0], dtype=torch.long))
