"""Tables of the bias study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cra_lib.data.shapes.reliance import habit_share, scenes_of
from cra_lib.evaluator.annotations import read_questions
from cra_lib.paths import DataFiles, ResultFiles
from cra_lib.records import read_json, read_predictions
from cra_lib.reporting.looks import look
from cra_lib.reproduction.bias_study import Reliance, Study
from cra_lib.reproduction.claims import Outcome

STATISTICS = ("reliance", "grounded", "answers")


def reliance_frame(rows: Iterable[Reliance]) -> pd.DataFrame:
    """The outcomes as figures draw them: variant, strength, statistic, figure, low, high, seeds."""
    return pd.DataFrame(
        {"variant": row.variant, "strength": row.strength, "statistic": name,
         "figure": outcome.figure, "low": outcome.low, "high": outcome.high,
         "seeds": outcome.seeds}
        for row in rows
        for name, outcome in zip(STATISTICS, row[2:], strict=True)
    )  # fmt: skip


def reliance_texts(frame: pd.DataFrame, statistic: str = "reliance") -> pd.DataFrame:
    """A row a variant, a column a strength: figure, interval and number of seeds."""
    shown = frame[frame.statistic == statistic]
    return _by_strength((row.variant, row.strength, row) for row in shown.itertuples())


def difference_texts(rows: Iterable[tuple[str, float, Outcome]]) -> pd.DataFrame:
    """A row a variant, a column a strength: difference of reliance in points, and interval."""
    return _by_strength(rows, "+")


def _by_strength(rows: Iterable[tuple[str, float, Any]], sign: str = "") -> pd.DataFrame:
    """Variants by strengths; each of the rows has figure, low, high and seeds."""
    table = pd.DataFrame(
        {"method": look(variant).label, "strength": strength,
         "text": f"{found.figure:{sign}.1f} [{found.low:{sign}.1f}, {found.high:{sign}.1f}], "
                 f"n = {found.seeds}"}
        for variant, strength, found in rows
    )  # fmt: skip
    if table.empty:
        return table
    return table.pivot(index="method", columns="strength", values="text").fillna("not run")


def alignment_means(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Means over seeds of what `inference.selection.alignment` finds, a row for each dictionary.

    Args:
        rows: with a "seed" each.
    """
    found = pd.DataFrame(rows).groupby("dictionary")
    return found.mean().drop(columns="seed").round(1).assign(seeds=found["seed"].nunique())


def answerer_falls(data: DataFiles, study: Study) -> dict[str, dict[float, float]]:
    """What exact answerers that know the training bias lose from test_iid to test_ood."""
    falls: dict[str, dict[float, float]] = {}
    for strength in study.strengths:
        path = study.data(data, strength).root / "reference.json"
        if path.is_file():
            learned = read_json(path)["learned"]
            for name in ("blind", "scene_and_text"):
                falls.setdefault(name, {})[strength] = (
                    learned["test_iid"][name] - learned["test_ood"][name]
                )
    return falls


def habit_table(results: ResultFiles, data: DataFiles, study: Study) -> pd.DataFrame:
    """Wrong answers on test_ood that follow the habit of training, means over the seeds there are.

    ``chance`` is what drawing among the wrong choices of the same questions would give.
    """
    rows = []
    for strength in study.strengths:
        files = study.data(data, strength)
        if not (files.root / "world.json").is_file():
            continue
        questions, scenes = read_questions(files.questions("test_ood")), scenes_of(files)
        for variant in study.variants:
            for seed in study.seeds:
                path = study.run(results, variant, strength, seed).predictions("test_ood")
                if path.is_file():
                    answers = {p.key: p.answer for p in read_predictions(path)}
                    share, chance = habit_share(questions, answers, scenes)
                    rows.append((variant, strength, seed, share, chance))
    frame = pd.DataFrame(rows, columns=["variant", "strength", "seed", "follows", "chance"])
    found = frame.groupby(["strength", "variant"], sort=False)
    table = found[["follows", "chance"]].mean().round(1)
    return table.assign(seeds=found["seed"].count())
