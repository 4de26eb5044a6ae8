"""Answers of a frozen language model: every candidate is read, the best one's grounding is kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cra_lib.data.batches import TextChunk, chunk_texts
from cra_lib.data.tokens import TokenTable
from cra_lib.model.base import ModelOutput
from cra_lib.model.frozen_bilm.candidates import read_candidates


def answer_prompts(
    model: nn.Module,
    table: TokenTable,
    features: Tensor,
    questions: np.ndarray,
    answers: np.ndarray,
    budget: int,
) -> ModelOutput:
    """Answer B questions with C candidates each; see `ground_chunks` for what is returned.

    Args:
        features: [B, T, F] frames of each question's video, on the model's device.
        questions: [B] numbers of texts in the table.
        answers: [B, C] likewise.
        budget: tokens of one call of the model, about.
    """
    texts = table.pairs(np.repeat(questions, answers.shape[1]), answers.ravel())
    chunks, row_of = chunk_texts(table, texts, budget, fixed_width=False)
    moved = tuple(TextChunk(*(part.to(features.device) for part in chunk)) for chunk in chunks)
    rows = torch.from_numpy(row_of.reshape(answers.shape)).to(features.device)
    return ground_chunks(model, features, moved, rows)


def ground_prompts(model: nn.Module, features: Tensor, tokens: Tensor, keep: Tensor) -> ModelOutput:
    """Answer one question whose candidates are the prompts [C, L]; ``features`` are [1, T, F]."""
    rows = torch.arange(len(tokens), device=tokens.device)[None]
    return ground_chunks(model, features, (TextChunk(tokens, keep),), rows)


def ground_chunks(
    model: nn.Module, features: Tensor, chunks: tuple[TextChunk, ...], rows: Tensor
) -> ModelOutput:
    """log p(Yes) of every candidate [B, C], and weights and Gaussian of the one that is chosen."""
    output = read_candidates(model, features, chunks, rows)
    scores = output.score.float()
    chosen = torch.arange(len(scores), device=scores.device), scores.argmax(dim=1)

    def of_chosen(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[chosen]

    return ModelOutput(
        scores,
        output.frame_weights[chosen],
        output.raw_weights[chosen],
        of_chosen(output.grounded),
        of_chosen(output.evidence),
        of_chosen(output.gaussian),
    )
