"""What the interventions read of their dictionaries, question by question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cra_lib.inference.predict import load_evaluation, load_run, predict
from cra_lib.model.intervention import BackDoor, FrontDoor
from cra_lib.model.text import tokenizer_of
from cra_lib.paths import DataFiles, RunFiles


def selected_entries(run: RunFiles, data: DataFiles, split: str) -> dict[str, np.ndarray]:
    """The attention over the entries of each dictionary that a trained run uses.

    Returns:
        "language" [N, J], that of the grounding query, and "visual" [N, K], that of the grounded
        segment; rows sum to one. A dictionary that the variant does not read is left out.

    Raises:
        InputError: no trained model, or data that do not fit it.
    """
    config, model = load_run(run)
    evaluation = load_evaluation(config, data, split, tokenizer_of(config.model))
    texts: list[torch.Tensor] = []
    segments: list[torch.Tensor] = []

    def of_query(module, inputs):
        if inputs[0].ndim == 2:  # the query; candidates have a dimension more
            texts.append(module.selection(inputs[0]))

    def of_segment(module, inputs):
        segments.append(module.selection(inputs[0]))

    hooks = []
    if isinstance(model.back_door, BackDoor):
        hooks.append(model.back_door.register_forward_pre_hook(of_query))
    if isinstance(model.front_door, FrontDoor):
        hooks.append(model.front_door.register_forward_pre_hook(of_segment))
    try:
        predict(model, evaluation, config)
    finally:
        for hook in hooks:
            hook.remove()
    found = {"language": texts, "visual": segments}
    return {kind: torch.cat(parts).float().numpy() for kind, parts in found.items() if parts}


def entries_in_use(weights: np.ndarray) -> float:
    """How many entries a question reads, on average: the exponential of the mean entropy.

    Args:
        weights: [N, K] attention; rows sum to one.
    """
    logs = np.log(np.maximum(weights, np.finfo(np.float32).tiny))
    return float(np.exp(-(weights * logs).sum(axis=1).mean()))


def purity(entries: np.ndarray, labels: Sequence[str]) -> tuple[float, float]:
    """How far entries are about one label each: share of items whose label is the most frequent
    one of their entry, and the same if there were one entry only, in percent.

    >>> purity(np.array([0, 0, 1, 1]), ["a", "a", "b", "a"])
    (75.0, 75.0)
    """
    _, numbers = np.unique(labels, return_inverse=True)
    table = np.zeros((entries.max() + 1, numbers.max() + 1))
    np.add.at(table, (entries, numbers), 1)
    scale = 100 / len(numbers)
    return float(table.max(axis=1).sum() * scale), float(table.sum(axis=0).max() * scale)


def spread_between(weights: np.ndarray, labels: Sequence[str]) -> float:
    """Share of the attention's variance over questions that lies between labels, in percent.

    Args:
        weights: [N, K] attention.
        labels: N names, such as the scenes.
    """
    centred = weights - weights.mean(axis=0)
    names, numbers = np.unique(labels, return_inverse=True)
    means = np.stack([centred[numbers == number].mean(axis=0) for number in range(len(names))])
    total = (centred**2).sum()
    return float(100 * (means[numbers] ** 2).sum() / total) if total else 0.0


def alignment(
    run: RunFiles, data: DataFiles, split: str, labels: dict[str, Sequence[str]]
) -> list[dict[str, object]]:
    """How the dictionaries of a run relate to known confounders, a row for each dictionary.

    Args:
        labels: "language" and "visual" -> the confounder of each question of the split, such as
            its noun and its scene.

    Returns:
        entries, entries in use (`entries_in_use`), purity of the entry read most and what one
        entry for all would have (`purity`), and the share of the attention's variance that the
        confounder explains (`spread_between`).
    """
    rows = []
    for kind, weights in selected_entries(run, data, split).items():
        pure, alone = purity(weights.argmax(axis=1), labels[kind])
        rows.append({
            "dictionary": kind, "entries": weights.shape[1],
            "entries in use": round(entries_in_use(weights), 1),
            "purity of the entry read most": round(pure, 1),
            "of one entry for all": round(alone, 1),
            "explained by the confounder": round(spread_between(weights, labels[kind]), 1),
        })  # fmt: skip
    return rows
