"""Two prediction files on the same questions: is the second better, by how much, and where?

`compare` returns one JSON document::

    {"header": {"rule": "post-hoc", "questions": 5553, "videos": 990, "bootstrap": 1000, ...},
     "metrics": {"Acc@GQA": {"first": 16.0, "second": 18.2, "difference": 2.2,
                             "low": 1.1, "high": 3.4, "p_value": 0.002}, ...},
     "mcnemar": {"Acc@QA": {"only_first": 310, "only_second": 355, "p_value": 0.09},
                 "Acc@GQA": ...},
     "wins": ["4010069381_6", ...], "losses": [...]}

Everything is in percent but the p-values. Intervals come from a paired bootstrap over videos.
``wins`` are the questions that only the second answers rightly and groundedly, ``losses`` those
that only the first does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cra_lib.evaluator.metrics import (
    METRICS,
    QuestionScores,
    TruthTable,
    given_kinds,
    metric_columns,
    prediction_answers,
    prediction_spans,
    question_scores,
    truth_table,
)
from cra_lib.evaluator.readers import read_any
from cra_lib.evaluator.scores import carried_rules, check_predictions, refuse_reversed
from cra_lib.evaluator.scoring import (
    ALL_RULES,
    Benchmark,
    Scored,
    read_benchmark,
    read_side,
    scored_side,
)
from cra_lib.evaluator.statistics import mcnemar, paired_bootstrap
from cra_lib.records import InputError, Prediction, Truth


class Compared(NamedTuple):
    """What `compare_files` found."""

    result: dict[str, Any]
    """As the module's docstring describes it."""
    notes: list[str]
    """What a reader should know about the files."""
    sides: tuple[Scored, Scored]
    """Each file's own scores, as `scoring.score_files` gives them."""

    @property
    def benchmark(self) -> Benchmark:
        """The annotation of both."""
        return self.sides[0].benchmark


def compare(
    first: Mapping[str, Prediction],
    second: Mapping[str, Prediction],
    truths: Mapping[str, Truth],
    rules: tuple[str | None, str | None],
    samples: int = 1000,
    common: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Second against first on every question; the module's docstring describes the result.

    Args:
        rules: the span rule of each; None where a file has answers alone.
        common: leave out questions that one of them does not predict, instead of counting those
            as wrong.

    Raises:
        InputError: no prediction is about these questions, none is common to both, or an interval
            ends before it starts.
    """
    for predictions in (first, second):
        check_predictions(predictions, list(truths.values()))
    if common:
        truths = {key: t for key, t in truths.items() if key in first and key in second}
        if not truths:
            raise InputError("No question is predicted by both files.")
    table = truth_table(truths)
    sides = [
        _scored(predictions, rule, table)
        for predictions, rule in zip((first, second), rules, strict=True)
    ]
    comparable = _comparable(*sides)
    grounded = [side.right & side.grounded for side in sides]
    tests = {
        "Acc@QA": mcnemar(sides[0].right, sides[1].right)._asdict(),
        "Acc@GQA": mcnemar(*grounded)._asdict(),
    }
    keys = np.array(table.keys)
    decided = grounded if comparable["Acc@GQA"] else [side.right for side in sides]
    return {
        "header": {
            "rules": list(rules),
            "questions": len(table),
            "videos": int(table.videos.max()) + 1,
            "common": common,
            "bootstrap": samples,
            "seed": seed,
        },
        "metrics": _differences(sides, table, samples, seed),
        "mcnemar": {name: test for name, test in tests.items() if comparable[name]},
        "wins": keys[decided[1] & ~decided[0]].tolist(),
        "losses": keys[decided[0] & ~decided[1]].tolist(),
    }


def compare_files(
    first: Sequence[str | Path],
    second: Sequence[str | Path],
    truth: str | Path = "nextgqa",
    split: str | None = None,
    *,
    span_rule: str | None = None,
    fractions: bool = False,
    stamps: str | None = None,
    common: bool = False,
    bootstrap: int = 1000,
    subset: str | Path | None = None,
) -> Compared:
    """`compare` on files, read as `scoring.score_files` reads them.

    Args:
        span_rule: of both; None takes the first that each carries.

    Raises:
        InputError: as `scoring.score_files`.
    """
    benchmark = read_benchmark(truth, split, subset)
    sides, rules = [], []
    for paths in (first, second):
        parts = [read_any(Path(path), benchmark.split, benchmark.truths) for path in paths]
        side = read_side(parts, benchmark, fractions=fractions, stamps=stamps, remedy="correct it")
        wanted = [span_rule] if span_rule not in (None, ALL_RULES) else None
        rules.append(next(iter(carried_rules(side.predictions, wanted)), None))
        sides.append(scored_side(side, parts, benchmark, rules[-1:] if rules[-1] else None))
    predictions = (side.predictions for side in sides)
    result = compare(*predictions, benchmark.truths, tuple(rules), bootstrap, common)
    result["header"] |= {
        "split": benchmark.split,
        "first": ", ".join(map(str, first)),
        "second": ", ".join(map(str, second)),
    }
    found = dict.fromkeys(note for side in sides for note in side.notes)
    return Compared(result, list(found), tuple(sides))


def changed_questions(
    result: Mapping[str, Any], truths: Mapping[str, Truth]
) -> list[dict[str, str]]:
    """The questions won and lost as rows: key, outcome and type."""
    return [
        {"key": key, "outcome": outcome, "type": truths[key].type}
        for outcome, name in (("win", "wins"), ("loss", "losses"))
        for key in result[name]
    ]


def _scored(
    predictions: Mapping[str, Prediction], rule: str | None, table: TruthTable
) -> QuestionScores:
    spans = prediction_spans(predictions, rule, table)
    refuse_reversed({rule or "": spans}, table)
    return question_scores(spans, prediction_answers(predictions, table), table)


def _differences(
    sides: Sequence[QuestionScores], table: TruthTable, samples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Metric -> both means and their paired difference, for the metrics both files allow."""
    columns = [metric_columns(side) for side in sides]
    changes = paired_bootstrap(*columns, table.videos, samples, seed)
    means = [column.mean(axis=0).tolist() for column in columns]
    comparable = _comparable(*sides)
    rows = zip(METRICS, *means, changes, strict=True)
    return {
        name: {"first": one, "second": two, **change._asdict()}
        for name, one, two, change in rows
        if comparable[name]
    }


def _comparable(first: QuestionScores, second: QuestionScores) -> dict[str, bool]:
    """Metric -> did both files give what it needs?"""
    kinds = [given_kinds(first), given_kinds(second)]
    return {
        metric.name: all(kind[need] for kind in kinds for need in metric.needs)
        for metric in METRICS.values()
    }
