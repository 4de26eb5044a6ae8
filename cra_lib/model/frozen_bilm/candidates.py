"""Candidates of a batch as sequences: one for each question and candidate."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cra_lib.model.frozen_bilm.model import FrozenBiLM, SequenceOutput

Chunk = tuple[Int[Tensor, "_ _"], Bool[Tensor, "_ _"]]
"""Tokens of some prompts, and which of them are real."""


def read_candidates(
    model: FrozenBiLM,
    features: Float[Tensor, "B T F"],
    chunks: Sequence[Chunk],
    rows: Int[Tensor, "B C"],
) -> SequenceOutput:
    """What the model says about every candidate of every question; fields are [B, C, ...].

    Args:
        features: frames of each question.
        chunks: prompts of similar length; laid end to end, they are the rows' texts.
        rows: row of each candidate's prompt.
    """
    read = _one_place_at_a_time if model.mixes_sequences else _all_at_once
    return read(model, features, chunks, rows)


def _all_at_once(model, features, chunks, rows) -> SequenceOutput:
    """Chunk by chunk, in whatever order: a sequence does not depend on the others."""
    owners = torch.empty(rows.numel(), dtype=torch.long, device=rows.device)
    owners[rows.flatten()] = torch.arange(rows.numel(), device=rows.device) // rows.shape[1]
    parts, start = [], 0
    for tokens, keep in chunks:
        mine = owners[start : start + len(tokens)]
        parts.append(model(features[mine], tokens, keep))
        start += len(tokens)
    return _map(lambda values: torch.cat(values)[rows], parts)


def _one_place_at_a_time(model, features, chunks, rows) -> SequenceOutput:
    """First candidates together, then second ones, each padded to its longest, as released."""
    width = max(tokens.shape[1] for tokens, _ in chunks)
    tokens, keep = (
        torch.cat([_widened(part, width) for part in parts]) for parts in zip(*chunks, strict=True)
    )
    outputs = []
    for place in rows.T:
        longest = int(keep[place].sum(dim=1).max())
        outputs.append(model(features, tokens[place, :longest], keep[place, :longest]))
    return _map(lambda values: torch.stack(values, dim=1), outputs)


def _widened(part: Tensor, width: int) -> Tensor:
    """Zeros behind: padding is cut off again before anything reads it."""
    return torch.nn.functional.pad(part, (0, width - part.shape[1]))


def _map(join, outputs: list[SequenceOutput]) -> SequenceOutput:
    fields = zip(*outputs, strict=True)
    return SequenceOutput(*(None if values[0] is None else join(values) for values in fields))
