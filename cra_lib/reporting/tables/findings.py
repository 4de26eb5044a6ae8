"""How the claims of notebook 05 came out, read off the scores: supported, refuted, open, untested.

A comparison of methods needs several seeds: two runs of one method with other seeds differ by more
than most methods do. With one seed each, numbers are shown and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.reporting.looks import in_order, look

BASELINES = ("post-hoc", "ng", "ng+")
PARTS = ("no-gsg", "no-cma", "no-causal", "no-lci", "no-vci")
OUTCOMES = ("supported", "refuted", "open", "one seed: no claim")
COLUMNS = ["against", "metric", "ahead by", "from", "to", "seeds", "outcome"]


def compared(changes: pd.DataFrame, against: Iterable[str]) -> pd.DataFrame:
    """CRA minus each method in percentage points, and what that says of "CRA is better".

    Args:
        changes: rows of `reading.ablation`, which has the methods' differences to CRA.
        against: the variants that the claim is about; those that were not run are left out.
    """
    rows = []
    for variant in in_order(set(changes["variant"]) & set(against)):
        for metric in HEADLINE:
            for row in changes[
                (changes["variant"] == variant) & (changes["metric"] == metric)
            ].itertuples():
                ends = -row.high, -row.low
                rows.append(_row(look(variant).label, metric, -row.difference, ends, row.seeds))
    return pd.DataFrame(rows, columns=COLUMNS)


def smaller_fall(scores: pd.DataFrame, lead: str, without: str = "no-causal") -> pd.DataFrame:
    """By how much less ``lead`` falls from `test_iid` to `test_ood` than ``without``.

    The interval is that of a paired t-test over the seeds that both have.
    """
    from scipy.stats import ttest_1samp

    table = scores.pivot_table(
        index=["metric", "seed"], columns=["variant", "split"], values="value"
    )
    needed = [(name, split) for name in (lead, without) for split in ("test_iid", "test_ood")]
    rows = []
    scored = table.index.unique("metric") if all(name in table for name in needed) else ()
    for metric in (metric for metric in HEADLINE if metric in scored):
        seeds = table.loc[metric, needed].dropna()
        falls = {
            name: seeds[name, "test_iid"] - seeds[name, "test_ood"] for name in (lead, without)
        }
        gain = (falls[without] - falls[lead]).to_numpy()
        ends = (np.nan, np.nan)
        if len(gain) > 1:
            ends = tuple(ttest_1samp(gain, 0).confidence_interval())
        if len(gain):
            rows.append(_row(look(without).label, metric, gain.mean(), ends, len(gain)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(
    against: str, metric: str, ahead: float, ends: tuple[float, float], seeds: int
) -> tuple[object, ...]:
    outcome = "supported" if ends[0] > 0 else "refuted" if ends[1] < 0 else "open"
    if seeds < 2:
        outcome = "one seed: no claim"
    return against, metric, float(ahead), float(ends[0]), float(ends[1]), int(seeds), outcome


def came_out(table: pd.DataFrame, wanted: Iterable[str]) -> str:
    """One sentence about a claim.

    Args:
        table: of `compared` or `smaller_fall`.
        wanted: the variants that have to be run for it.
    """
    if table.empty:
        names = ",".join(dict.fromkeys(("cra", *wanted)))
        return f"Not tested: run ./reproduce.sh --variants {names} --seeds 2024,2025,2026 for it."
    counts = table["outcome"].value_counts()
    found = [f"{counts[name]} {name}" for name in OUTCOMES[:3] if name in counts]
    if not found:
        return (
            f"Not decided: one seed each, {len(table)} differences shown and none claimed; "
            "./reproduce.sh --seeds 2024,2025,2026 trains more."
        )
    single = counts.get(OUTCOMES[3], 0)
    more = f"; {single} with one seed, of which nothing is claimed" if single else ""
    return f"Of {len(table)} comparisons: {', '.join(found)}{more}."


def say_confounders(scores: pd.DataFrame, dataset: str) -> str:
    """What `reading.scores_by_confounders` shows, or what to run to see it."""
    if scores.empty:
        return (
            "Scores against K: not run. For each K, such as 16: `cra confounders sample "
            f"{dataset} --num-confounders 16`, then `cra train {dataset} --set "
            "causal.num_confounders=16`; run this notebook again after it."
        )
    sizes = ", ".join(map(str, sorted(scores["K"].unique())))
    seeds = int(scores["seeds"].min())
    much = "one seed each: no claim" if seeds < 2 else f"{seeds} seeds or more"
    spans = scores.groupby("metric", sort=False)["value"].agg(lambda values: np.ptp(values))
    found = ", ".join(f"{metric} {spans[metric]:.1f}" for metric in HEADLINE if metric in spans)
    return f"From the lowest to the highest of K = {sizes}, in points: {found} ({much})."


def effect_of_losses(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Last validation scores of the finished variants that leave out a part, mean over seeds.

    One row a variant of CRA, columns: what is missing, seeds, the last loss terms, the last
    validation scores in percent.
    """
    missing = {
        "cra": "nothing",
        "no-cma": "alignment losses",
        "no-gsg": "Gaussian filter",
        "no-causal": "both interventions",
    }
    rows = {}
    for variant in (name for name in missing if name in histories):
        last = histories[variant].groupby("seed").last()
        shown = [c for c in last if c.startswith(("loss_", "val_"))]
        values = {c.removeprefix("val_"): last[c].mean() for c in shown}
        rows[variant] = {"left out": missing[variant], "seeds": len(last), **values}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def say_losses(effects: pd.DataFrame, dataset: str) -> str:
    """What `effect_of_losses` shows about the alignment losses, or what to run to see it."""
    if not {"cra", "no-cma"} <= set(effects.index):
        done = ", ".join(effects.index) or "none"
        return (
            f"Finished so far: {done}. ./reproduce.sh {dataset} --variants cra,no-cma trains with "
            "and without the alignment losses; run this notebook again after it."
        )
    shown = [metric for metric in HEADLINE if metric in effects]
    changes = [
        f"{metric} {effects.loc['cra', metric] - effects.loc['no-cma', metric]:+.1f}"
        for metric in shown
    ]
    seeds = int(effects.loc[["cra", "no-cma"], "seeds"].min())
    much = "one seed: no claim" if seeds < 2 else f"mean over {seeds} seeds or more"
    return f"With the alignment losses, in points of validation: {', '.join(changes)} ({much})."
