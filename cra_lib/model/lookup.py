"""One look into the table of word embeddings for all texts of a training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def one_lookup(backbone: nn.Module, tokens: Sequence[Tensor]) -> Iterator[None]:
    """Let calls of a language model on several ``[N, L]`` of token ids share one lookup.

    The gradient of a lookup is as large as the table, 154 MB for RoBERTa, filled with zeros and
    added up once a call. Inside, calls read from the rows that occur in any of them, gathered once.
    Outputs and gradients have the same bits; without gradients nothing is changed.
    """
    reads_only = not torch.is_grad_enabled()  # a tower made for reading alone has no such table
    table = None if reads_only or len(tokens) < 2 else backbone.get_input_embeddings()
    if table is None or not table.weight.requires_grad:
        yield
        return
    used = torch.cat([ids.flatten() for ids in tokens]).unique()
    rows = table(used)
    places = used.new_zeros(table.num_embeddings)
    places[used] = torch.arange(len(used), device=used.device)
    hook = table.register_forward_hook(lambda _, ids, out: F.embedding(places[ids[0]], rows))
    try:
        yield
    finally:
        hook.remove()
