"""What we and the paper say about methods, each as something that results can contradict.

``results/claims.yaml`` is a list of::

    id: no-gsg                        name of the claim in texts
    statement: Without Gaussian smoothing, fewer answers are right and grounded.
    dataset: [shapes, nextgqa]        where it can be asked
    statistic: difference             one of STATISTICS
    variant: no-gsg                   may depart from its settings: cra@model.smoothing=softmax
    against: cra
    metric: Acc@GQA
    split: test
    below: 0                          or above: the side on which the claim holds
    lead: true                        optional: the report opens with it
    source: CRA (arXiv 2503.07635), ablation: 16.4 instead of 18.2 on NExT-GQA

A claim ``holds`` where its 95 % interval over seeds and videos lies on its side of the bound,
``fails`` where it lies on the other, and is ``undecided`` in between, and always with one seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from cra_lib.config import check_variant
from cra_lib.datasets import DATASETS
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.statistics import crossed_sum
from cra_lib.evaluator.video_scores import VideoScores, read_video_scores, stack_seeds
from cra_lib.inference.settings import split_label
from cra_lib.records import InputError
from cra_lib.reproduction.obtained import Run, read_json

VALUE, OVERLAP, UNFAITHFUL, FALL = "value", "overlap", "unfaithful", "fall"
STATISTICS = {
    VALUE: "a metric of `variant` on `split`",
    "difference": "the same, minus that of `against`",
    "order": "smallest lead of each of `variants` over the next in a metric",
    OVERLAP: "mean IoU of the intervals for two questions on one video",
    UNFAITHFUL: "share answered right without the evidence: Acc@QA - Acc@GQA",
    FALL: "a metric (Acc@QA) on test_iid minus test_ood: reliance on the bias of training",
}
"""Statistic -> what it is; with ``against``, the last three are differences, too."""
NEEDED = ("id", "statement", "dataset", "statistic", "source")
KNOWN = {*NEEDED, "variant", "variants", "against", "metric", "split", "above", "below", "lead"}
SAMPLES = 2000


@dataclass(frozen=True)
class Claim:
    """One entry of the file of claims."""

    id: str
    statement: str
    datasets: tuple[str, ...]
    statistic: str
    variants: tuple[str, ...]
    """One; two, the second being compared with; or, for an order, all from best to worst."""
    metric: str
    split: str
    bound: float
    is_above: bool
    """Whether the claim is that the figure exceeds the bound."""
    source: str
    is_lead: bool = False
    """Whether the report opens with it."""

    @property
    def is_difference(self) -> bool:
        return len(self.variants) > 1


class Outcome(NamedTuple):
    """What results say about a claim."""

    verdict: str
    """``holds``, ``fails``, ``undecided`` or ``not run``."""
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0


Sources = Mapping[tuple[str, str], Mapping[int, VideoScores]]
"""Variant and split -> seed -> scores by video. The metric OVERLAP has a table of its own."""


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file; none where there is no file.

    Raises:
        InputError: it is no list of claims, or an entry lacks a key, has an unknown one,
            or names an unknown dataset, variant, metric, split or statistic.
    """
    if not path.is_file():
        return []
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({error}).".replace("\n", " ")) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected a list of claims, each with {', '.join(NEEDED)}.")
    claims = [_claim(row, f"{path}, claim {row.get('id', number)!r}")
              for number, row in enumerate(rows, start=1)]  # fmt: skip
    names = [claim.id for claim in claims]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: two claims are called {twice[0]!r}.")
    return claims


def _claim(row: Mapping[str, Any], where: str) -> Claim:
    if missing := [key for key in NEEDED if key not in row]:
        raise InputError(f"{where}: the key {missing[0]!r} is missing.")
    if unknown := sorted(set(row) - KNOWN):
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(KNOWN)}.")
    datasets = tuple([row["dataset"]] if isinstance(row["dataset"], str) else row["dataset"])
    statistic, metric = row["statistic"], row.get("metric", "Acc@QA")
    split = row.get("split", "test")
    for what, name, known in (
        ("statistic", statistic, STATISTICS),
        ("metric", metric, METRICS),
        *(("dataset", name, DATASETS) for name in datasets),
        *(("split", split, DATASETS[name].splits) for name in datasets if name in DATASETS),
    ):
        if name not in known:
            raise InputError(f"{where}: unknown {what} {name!r}; choose from {', '.join(known)}.")
    if ("above" in row) == ("below" in row):
        raise InputError(f"{where}: give one bound, either above or below.")
    side = "above" if "above" in row else "below"
    if not isinstance(row[side], int | float):
        raise InputError(f"{where}: {side} should be a number, got {row[side]!r}.")
    if not isinstance(row.get("lead", False), bool):
        raise InputError(f"{where}: lead should be true or false, got {row['lead']!r}.")
    return Claim(
        str(row["id"]), str(row["statement"]).strip(), datasets, statistic,
        _variants(row, where), metric, split, float(row[side]), side == "above", str(row["source"]),
        row.get("lead", False),
    )  # fmt: skip


def _variants(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    needed = {"order": ("variants",), "difference": ("variant", "against")}
    for key in needed.get(row["statistic"], ("variant",)):
        if key not in row:
            raise InputError(f"{where}: {row['statistic']} needs the key {key!r}.")
    names = row.get("variants") or [row[key] for key in ("variant", "against") if key in row]
    if row["statistic"] == "order" and (not isinstance(names, list) or len(names) < 2):
        raise InputError(f"{where}: variants should be a list of two or more.")
    for name in names:
        try:
            check_variant(split_label(name)[0])
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    return tuple(names)


def sources_of(runs: Iterable[Run]) -> dict[tuple[str, str], dict[int, VideoScores]]:
    """Scores by video of every run; a seed's runs on several instruction sets are averaged.

    A run without scores by video counts as one video, which has no spread over videos.
    """
    found: dict[tuple[str, str], dict[int, list[VideoScores]]] = defaultdict(dict)
    for run in runs:
        path = run.files.video_scores(run.split)
        scores = read_video_scores(path) if path.is_file() else whole_split(run.values)
        found[run.variant, run.split].setdefault(run.seed, []).append(scores)
    return {
        key: {seed: _average(ones) for seed, ones in seeds.items()} for key, seeds in found.items()
    }


def whole_split(values: Mapping[str, float]) -> VideoScores:
    """Scores of a split as if it were one video; metrics that are not given are NaN."""
    row = np.array([[values.get(metric, np.nan) for metric in METRICS]])
    return VideoScores(("all",), np.ones(1, int), row)


def _average(runs: list[VideoScores]) -> VideoScores:
    sums, questions = stack_seeds(runs)
    return VideoScores(runs[0].videos, questions, sums.mean(axis=0))


def overlaps_of(runs: Iterable[Run]) -> dict[tuple[str, str], dict[int, VideoScores]]:
    """The same for the overlap of intervals on one video, which has no value for a single video."""
    found: dict[tuple[str, str], dict[int, VideoScores]] = defaultdict(dict)
    for run in runs:
        path = run.files.scores(run.split)
        report = read_json(path) if path.is_file() else {}
        value = report.get("same_video_overlap", {}).get(run.rule)
        if value is not None:
            found[run.variant, run.split][run.seed] = whole_split(dict.fromkeys(METRICS, value))
    return found


def evaluate(claim: Claim, sources: Sources, overlaps: Sources | None = None) -> Outcome:
    """Hold a claim against results.

    Args:
        overlaps: `overlaps_of` the same runs, for the statistic ``overlap``.
    """
    table = (overlaps or {}) if claim.statistic == OVERLAP else sources
    pairs = list(zip(claim.variants, claim.variants[1:], strict=False))
    if claim.statistic != "order":
        pairs = [(claim.variants[0], claim.variants[1] if claim.is_difference else None)]
    found = [_figure(claim, table, *pair) for pair in pairs]
    if any(one is None or one.figure != one.figure for one in found):
        return Outcome("not run")
    # An order holds where each link does and fails where any does: its weakest link speaks for it.
    judged = [one._replace(verdict=_verdict(claim, one)) for one in found]
    weakest = min(judged, key=lambda one: (one.verdict != "fails", one.low))
    return weakest._replace(**{e: round(getattr(weakest, e), 2) for e in ("figure", "low", "high")})


def _verdict(claim: Claim, found: Outcome) -> str:
    if found.seeds < 2:
        return "undecided"
    above, below = found.low > claim.bound, found.high < claim.bound
    if claim.is_above:
        return "holds" if above else "fails" if below else "undecided"
    return "holds" if below else "fails" if above else "undecided"


def _figure(claim: Claim, table: Sources, first: str, second: str | None) -> Outcome | None:
    """The figure of one pair of variants, on the seeds that both have."""
    splits = {claim.split: 1.0}
    if claim.statistic == FALL:
        splits = {"test_iid": 1.0, "test_ood": -1.0}
    signs = {first: 1.0} if second is None else {first: 1.0, second: -1.0}
    wanted = [(variant, split) for variant in signs for split in splits]
    if not all(key in table for key in wanted):
        return None
    seeds = sorted(set.intersection(*(set(table[key]) for key in wanted)))
    if not seeds:
        return None
    parts = []
    for split, weight in splits.items():
        columns = []
        for variant, sign in signs.items():
            sums, questions = stack_seeds([table[variant, split][seed] for seed in seeds])
            columns.append(weight * sign * _column(claim, sums))
        parts.append((sum(columns), questions))
    change = crossed_sum(parts, SAMPLES)
    return Outcome("", change.difference, change.low, change.high, len(seeds))


def _column(claim: Claim, sums: np.ndarray) -> np.ndarray:
    """``[S, V]`` of a claim's metric."""
    if claim.statistic == UNFAITHFUL:
        return sums[..., list(METRICS).index("Acc@QA")] - sums[..., list(METRICS).index("Acc@GQA")]
    return sums[..., list(METRICS).index(claim.metric)]


def outcome_text(claim: Claim, outcome: Outcome) -> str:
    """Figure, interval and number of seeds, as texts quote them."""
    if outcome.figure is None:
        return outcome.verdict
    seeds = "one seed" if outcome.seeds == 1 else f"{outcome.seeds} seeds"
    figure = figure_text(claim, outcome, with_ends=outcome.seeds > 1)
    return f"{figure}, {seeds}: {outcome.verdict}"


def figure_text(claim: Claim, outcome: Outcome, with_ends: bool) -> str:
    """Figure and unit, and the interval if it is to be shown: ``+1.2 points [-0.3, +2.7]``."""
    sign = "+" if claim.is_difference else ""
    unit = "points" if claim.is_difference else "%"
    ends = f" [{outcome.low:{sign}.1f}, {outcome.high:{sign}.1f}]" if with_ends else ""
    return f"{outcome.figure:{sign}.1f} {unit}{ends}"


def broken(claims: Iterable[Claim], before: Mapping[str, Any], now: Mapping[str, Outcome]) -> list:
    """Claims that were recorded as holding and now fail."""
    return [
        claim
        for claim in claims
        if before.get(claim.id, {}).get("verdict") == "holds" and now[claim.id].verdict == "fails"
    ]
