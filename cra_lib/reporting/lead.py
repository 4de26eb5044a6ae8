"""What the report opens with: a few sentences with figures, each with its verdict, and the scores.

The sentences are the claims that ``results/claims.yaml`` marks with ``lead``, as these results
judge them; nothing here decides what is worth saying.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from cra_lib.evaluator.metrics import HEADLINE, METRICS
from cra_lib.paths import ResultFiles
from cra_lib.records import InputError
from cra_lib.reporting.looks import in_order, look
from cra_lib.reporting.tables.building import with_interval
from cra_lib.reporting.tables.reading import read_scores
from cra_lib.reproduction.claims import (
    FALL,
    OVERLAP,
    UNFAITHFUL,
    Claim,
    Outcome,
    figure_text,
)

MOST_CLAIMS = 5
"""Claims that the report opens with."""
COLOURS = {"holds": "ok", "fails": "outside"}
"""Verdict -> class of the page; all else has no colour, so one seed never looks like a win."""


class Sentence(NamedTuple):
    """One thing that was found."""

    text: str
    verdict: str = ""
    """Of the claim, such as "holds"; empty where nothing is claimed."""
    colour: str = ""


def found(results: ResultFiles, judged: Sequence[tuple[Claim, Outcome]]) -> list[Sentence]:
    """The sentences: the first method's scores, then the claims.

    Args:
        judged: claims that have a figure.
    """
    lead = [pair for pair in judged if pair[0].is_lead][:MOST_CLAIMS]
    return [*_scores(results), *(claim_sentence(*pair) for pair in lead)]


def claim_sentence(claim: Claim, outcome: Outcome) -> Sentence:
    """A claim with what was measured, its figure, its interval and its seeds.

    With one seed the interval is over the test videos, and the sentence says so.
    """
    seeds = f"{outcome.seeds} seeds" if outcome.seeds > 1 else "test videos of one seed"
    # The overlap on one video has no spread over videos.
    figure = figure_text(claim, outcome, with_ends=outcome.low != outcome.high)
    text = f"{claim.statement} {measured(claim)}: {figure}, {seeds}."
    return Sentence(text, outcome.verdict, COLOURS.get(outcome.verdict, ""))


def measured(claim: Claim) -> str:
    """What the figure of a claim is, in words."""
    labels = [look(name).label for name in claim.variants]
    if claim.statistic == "order":
        return f"Smallest lead of one over the next in {claim.metric}"
    what = {
        FALL: f"Fall of {claim.metric} from test_iid to test_ood",
        UNFAITHFUL: "Acc@QA minus Acc@GQA",
        OVERLAP: "Mean IoU of two intervals on one video",
    }.get(claim.statistic, claim.metric)
    return f"{what}, {' minus '.join(labels)}"


def _scores(results: ResultFiles) -> list[Sentence]:
    lead = _first_method(results)
    if lead is None:
        return []
    label, scores = lead
    answers, grounded = (
        with_interval(*scores.loc[name]).replace(" ", " % ", 1) for name in ("Acc@QA", "Acc@GQA")
    )
    return [
        Sentence(
            f"{label} answers {answers} of the test questions right (Acc@QA), and {grounded} right "
            "with the evidence found (Acc@GQA)."
        )
    ]


def tiles(results: ResultFiles) -> list[dict[str, str]]:
    """The first method's scores on the test split; empty before any scoring."""
    lead = _first_method(results)
    if lead is None:
        return []
    label, scores = lead
    return [
        {"label": f"{metric}, {label}", "value": with_interval(*scores.loc[metric])}
        for metric in METRICS
        if metric in HEADLINE
    ]


def _first_method(results: ResultFiles) -> tuple[str, pd.DataFrame] | None:
    """Label of CRA, or else of the first variant, and its mean scores on test by metric."""
    try:
        scores = read_scores(results)
    except InputError:  # `left_out` says which runs, and why
        return None
    scores = scores[scores["split"] == "test"]
    if scores.empty:
        return None
    variant = in_order(scores["variant"])[0]
    mine = scores[scores["variant"] == variant].groupby("metric")[["value", "low", "high"]].mean()
    return look(variant).label, mine
