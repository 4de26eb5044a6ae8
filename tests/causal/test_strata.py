"""Strata: what they say of answers is counted without the question itself, and averages to zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.causal import strata
from cra_lib.config import CausalConfig


def biased(pull: float, questions: int = 2000, seed: int = 0):
    """Choices of six actions; in stratum z the action z is right with probability ``pull``."""
    generator = np.random.default_rng(seed)
    stratum = generator.integers(0, 6, questions)
    choices = np.array([generator.permutation(6)[:4] for _ in range(questions)])
    right = generator.integers(0, 4, questions)
    for row in range(questions):
        places = np.flatnonzero(choices[row] == stratum[row])
        if len(places) and generator.random() < pull:
            right[row] = places[0]
    return stratum, choices, right


def accuracy(found: strata.Strata, choices: np.ndarray, right: np.ndarray) -> float:
    offsets = found.of(np.arange(len(right)), choices)
    return float((offsets.argmax(axis=1) == right).mean())


def test_strata_explain_a_bias_and_nothing_where_there_is_none():
    for pull, lowest, highest in ((0.9, 0.6, 0.8), (0.0, 0.15, 0.30)):
        stratum, choices, right = biased(pull)
        found = strata.make_strata(np.arange(6), [stratum], choices, right)
        assert lowest < accuracy(found, choices, right) < highest
        assert (found.gains[0] > 0.5) == (pull > 0)


def test_a_stratum_that_knows_nothing_gets_no_say_beside_one_that_does():
    stratum, choices, right = biased(0.9)
    noise = np.random.default_rng(9).integers(0, 6, len(right))
    found = strata.make_strata(np.arange(6), [stratum, noise], choices, right)
    assert found.gains[0] > 0.5 and found.gains[1] < 0.3


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_evidence_averages_to_zero_and_leaves_out_the_question_itself(seed, strata_there_are):
    generator = np.random.default_rng(seed)
    offered = np.array([generator.permutation(7)[:3] for _ in range(40)])
    right, stratum = generator.integers(0, 3, 40), generator.integers(0, strata_there_are, 40)
    evidence = strata.stratum_evidence(stratum, offered, right, 7)
    np.testing.assert_allclose(evidence.mean(axis=0), 0, atol=1e-9)
    alone = strata.stratum_evidence(np.arange(40), offered, right, 7)
    # Alone in its stratum, a question has nobody to learn from: what is left is the marginal.
    flat = strata.stratum_evidence(np.zeros(40, int), offered, right, 7)
    np.testing.assert_allclose(flat, 0, atol=1e-9)
    own = alone[np.arange(40), offered[np.arange(40), right]]
    assert np.isfinite(own).all() and np.abs(own).max() < 3


def test_rare_answers_share_the_class_of_their_entry(monkeypatch):
    monkeypatch.setattr(strata, "FREQUENT", 3)
    choices = np.array([[0, 1], [0, 2], [0, 3]])
    classes = strata.answer_classes(np.array([5, 5, 5, 7]), choices)
    assert classes[1] == classes[2] and len({*classes}) == 3
    assert classes.min() == 0 and classes.max() == 2


def test_entries_are_found_by_subject_and_by_answer():
    questions = ["what did the baby do", "what did the woman do"]
    answers = ["cry", "cook"]
    cfg = CausalConfig(parser="rules", node_encoder="hashed")
    centres = np.zeros((2, 8, 32), np.float32)
    encoder = strata.load_node_encoder("hashed", 32)
    centres[:, strata.SUBJECT] = encoder.encode(["baby", "woman"])
    for node, texts in ((5, answers), (6, answers)):
        centres[:, node] = encoder.encode(texts)
    asked, said = strata.language_entries(questions[::-1], answers, centres, cfg)
    assert asked.tolist() == [1, 0] and said.tolist() == [0, 1]


def test_a_video_lies_where_its_mean_frame_lies():
    centres = np.array([[0.0, 0.0], [10.0, 0.0]], np.float32)
    features = np.array([[[9, 0], [9, 1], [0, 0]], [[0, 0], [1, 0], [9, 0]]], np.float32)
    assert strata.visual_entries(features, centres).tolist() == [1, 0]


def test_gains_stay_within_their_bounds():
    evidence = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert strata.fit_gains([evidence], np.array([0, 0])) == pytest.approx((strata.LARGEST_GAIN,))
    assert strata.fit_gains([evidence], np.array([1, 1])) == pytest.approx((0.0,), abs=1e-6)
