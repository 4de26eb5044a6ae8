"""The back-door sum taken literally, over strata that the two dictionaries cut (ours, not CRA's).

The paper's intervention (4.4) attends over the dictionaries inside the network. The formula that
it stands for, ``P(a | do(l)) = sum over z of P(a | l, z) P(z)``, asks for less: know the stratum z
of a training question, explain by z what z can explain, and average z out when the model is used.

A question's linguistic stratum is the entry whose subject is nearest to its own (the paper's
example: what babies do, what women do), its visual stratum is the entry nearest to its video's mean
frame, and a choice's class is its text or, where that is rare, the entry nearest to its nodes.
Counting, among all choices offered in training, how often each class was right in
each stratum gives ``r(a, z)``, and

    P(a | l, z) = softmax over the choices of (logit(a, l) + g rho(a, z)),
    rho(a, z)   = log r(a, z) - log r(a),   less its mean over the training questions.

``rho`` is added to the logits of the answer loss, so the network is left to explain what the
strata do not. As the mean of ``rho`` over P(z) is zero for every class, the average over z by
normalised weighted geometric means (the approximation that the paper makes, too) is the network's
own softmax: nothing is added, and nothing about strata is needed, when a question is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cra_lib.causal.clusters import nearest_centres
from cra_lib.causal.node_encoders import load_node_encoder
from cra_lib.causal.parsing import Pair, load_pipeline, parse_pairs
from cra_lib.causal.question_graphs import build_graphs
from cra_lib.config import CausalConfig
from cra_lib.data.confounders import NODES

SUBJECT = NODES.index("subject")
FIRST_ANSWER_NODE = NODES.index("answer")
FREQUENT = 20
"""Answers that are offered so often are a class of their own."""
PRIOR_CHOICES = 10.0
"""Offered choices that a cell of the counts has before any is counted, right at the chance rate."""
LARGEST_GAIN = 5.0


@dataclass(frozen=True)
class Strata:
    """What the strata of N training questions say about each of E classes of answers."""

    classes: np.ndarray
    """[A] class of each answer text."""
    offsets: np.ndarray
    """float32 [N, E] to be added to the logit of a choice of that class."""
    gains: tuple[float, float]
    """How much the linguistic and the visual strata count; zero is not at all."""

    def of(self, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """float32 [B, C] for questions [B] and the answer texts [B, C] that are offered."""
        return self.offsets[rows[:, None], self.classes[answers]]


def make_strata(
    classes: np.ndarray, strata: Sequence[np.ndarray], choices: np.ndarray, right: np.ndarray
) -> Strata:
    """Count, and fit how much each kind of stratum counts.

    Args:
        classes: [A] class of each answer text, from 0.
        strata: for each kind of stratum [N], the one of each question, from 0.
        choices: [N, C] answer texts offered.
        right: [N] place of the right one.
    """
    offered, number = classes[choices], int(classes.max()) + 1
    evidence = [stratum_evidence(kind, offered, right, number) for kind in strata]
    gains = fit_gains([np.take_along_axis(e, offered, axis=1) for e in evidence], right)
    total = sum(gain * e for gain, e in zip(gains, evidence, strict=True))
    return Strata(classes, np.asarray(total, np.float32), gains)


def stratum_evidence(
    stratum: np.ndarray, offered: np.ndarray, right: np.ndarray, number: int
) -> np.ndarray:
    """``rho(a, z)`` of each question's stratum for each class of answers, float64 [N, E].

    What a question itself added to the counts is taken out again: its own answer must not speak
    for it.

    Args:
        stratum: [N] of each question.
        offered: [N, C] class of each choice.
        right: [N] place of the right one.
        number: E, classes there are.
    """
    rows, chance = np.arange(len(offered)), 1 / offered.shape[1]
    seen, hits = np.zeros((2, len(offered), number))  # by each question
    np.add.at(seen, (rows[:, None], offered), 1)
    hits[rows, offered[rows, right]] = 1

    def rate(groups: np.ndarray) -> np.ndarray:
        """[N, E] how often a class was right where it was offered, by the others of a group."""
        totals = np.zeros((2, groups.max() + 1, number))
        np.add.at(totals[0], groups, hits)
        np.add.at(totals[1], groups, seen)
        right_ones, all_ones = totals[0][groups] - hits, totals[1][groups] - seen
        return (right_ones + PRIOR_CHOICES * chance) / (all_ones + PRIOR_CHOICES)

    evidence = np.log(rate(stratum)) - np.log(rate(np.zeros_like(stratum)))
    return evidence - evidence.mean(axis=0)


def fit_gains(evidence: Sequence[np.ndarray], right: np.ndarray) -> tuple[float, ...]:
    """The gains under which the strata alone predict the right choices best (a conditional logit).

    Args:
        evidence: for each kind of stratum [N, C], that of each choice.
        right: [N] place of the right one.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    stacked, rows = np.stack(evidence), np.arange(len(right))

    def surprise(gains: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(gains, stacked, axes=1)
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        slope = (np.exp(logs) * stacked).sum(axis=2) - stacked[:, rows, right]
        return -logs[rows, right].mean(), slope.mean(axis=1)

    start = np.ones(len(stacked))
    found = minimize(surprise, start, jac=True, bounds=[(0.0, LARGEST_GAIN)] * len(stacked))
    return tuple(float(gain) for gain in found.x)


def nearest_entries(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[n] number of the nearest centre [K, ...] of each row [n, ...]."""
    flat, ends = rows.reshape(len(rows), -1), centres.reshape(len(centres), -1)
    return nearest_centres(flat, ends, np.square(ends).sum(axis=1))[0]


def language_entries(
    questions: Sequence[str], answers: Sequence[str], centres: np.ndarray, cfg: CausalConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Entry of each question by its subject, and of each answer by the answer's nodes.

    Args:
        centres: [K, 8, N] the linguistic dictionary.
        cfg: parser and node encoder that the dictionary was made with.

    Returns:
        [Q] and [A] entry numbers.
    """
    pairs = [Pair(str(row), text, "") for row, text in enumerate(questions)]
    pairs += [Pair(str(row), "", text) for row, text in enumerate(answers)]
    encoder = load_node_encoder(cfg.node_encoder, centres.shape[-1])
    graphs = build_graphs(parse_pairs(pairs, load_pipeline(cfg.parser)).components, encoder)
    said = slice(FIRST_ANSWER_NODE, None)
    asked_nodes = graphs.vectors[graphs.nodes[: len(questions), SUBJECT]]
    said_nodes = graphs.take(slice(len(questions), None))[:, said]
    return (
        nearest_entries(asked_nodes, centres[:, SUBJECT]),
        nearest_entries(said_nodes, centres[:, said]),
    )


def answer_classes(entries: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """[A] class of each answer text: its own where it is offered often, else its entry's.

    Args:
        entries: [A] entry of each answer text.
        choices: [N, C] answer texts offered.
    """
    often = np.bincount(choices.ravel(), minlength=len(entries)) >= FREQUENT
    own = entries.max() + np.cumsum(often)
    _, classes = np.unique(np.where(often, own, entries), return_inverse=True)
    return classes


def visual_entries(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[V] entry nearest to the mean frame of each video [V, T, F].

    The mean keeps the scene and loses the moments: which event a frame shows is evidence for the
    answer, not a confounder of it, and strata by single frames would explain that away.
    """
    return nearest_entries(features.mean(axis=1), centres)
