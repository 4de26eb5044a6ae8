"""What an evaluation card says in tables: scores, rank, questions, and a row to copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cra_lib.evaluator.leaderboard import differs_as_released, main_rows
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.scoring import Scored
from cra_lib.records import Question, Truth

EACH = 5
"""Questions shown of each of the four outcomes."""
SORT = "Acc@GQA"
"""The metric that ranks."""


def number(value: float | None, digits: int = 2) -> str:
    """A score as the tables show it; nothing where it is not defined."""
    return "" if value is None else f"{value:.{digits}f}"


def score_rows(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each rule (with its 95 % intervals below) and each blind interval."""
    rows = []
    for rule, values in report["rules"].items():
        rows.append({"intervals by": rule, **{m: number(values[m]) for m in METRICS}})
        if ends := report["intervals"].get(rule):
            cells = {m: _ends(ends[m]) if m in ends else "" for m in METRICS}
            rows.append({"intervals by": "95 % interval", **cells})
    for name, values in report["blind"].items():
        cells = {m: number(values[m]) for m in METRICS}
        rows.append({"intervals by": f"blind: {name}", **cells})
    return pd.DataFrame(rows).set_index("intervals by")


def _ends(pair: Sequence[float]) -> str:
    return f"{pair[0]:.1f} to {pair[1]:.1f}"


def type_rows(groups: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Scores of one rule by question type."""
    rows = [
        {"type": name, "questions": f"{values['questions']:,}"}
        | {m: number(values[m]) for m in METRICS}
        for name, values in groups.items()
    ]
    return pd.DataFrame(rows).set_index("type")


def against_constant(report: Mapping[str, Any], rule: str) -> str:
    """What the best constant interval gets with the same answers, as a sentence."""
    mine = report["rules"][rule][SORT]
    if mine is None:
        return "Without both answers and intervals there is no Acc@GQA to compare with."
    best = max(report["blind"], key=lambda name: report["blind"][name][SORT])
    value = report["blind"][best][SORT]
    word = "above" if mine >= value else "below"
    return (
        f"With the same answers, the blind interval “{best}”, which never looks at the video, gets "
        f"{SORT} {number(value)}; the {rule} intervals get {number(mine)}, "
        f"{abs(mine - value):.2f} points {word} it."
    )


def ranked(
    published: Iterable[Mapping[str, Any]],
    ours: Mapping[str, Mapping[str, Any]],
    dataset: str,
    split: str,
    supervision: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Published rows of one supervision with ours among them, and our places in words.

    Args:
        ours: name -> a report's header, lead rule and scores (``header``, ``rule``, ``scores``).
    """
    rows = [r for r in main_rows(published, dataset, split) if r["supervision"] == supervision]
    known = [row for row in rows if row[SORT] is not None]
    entries = [{**row, "ours": ""} for row in known]
    sentences = []
    for name, mine in ours.items():
        value, rule = mine["scores"][SORT], mine["rule"]
        if value is None or not known:
            continue
        same = [r for r in known if (r["span_rule"] or "").removesuffix(" (inferred)") == rule]
        mark = " (described)" if differs_as_released(rule, mine["header"]) else ""
        entries.append({"method": f"> {name}", "backbone": "", "span_rule": rule + mark,
                        **mine["scores"], "ours": name})  # fmt: skip
        sentences.append(_place(name, value, rule, known, same, supervision))
        if mark:
            sentences.append(
                f"The {rule} intervals of {name} follow our described windows, not the released "
                "rule of published rows; `cra evaluate --official` compares like with like."
            )
    entries.sort(key=lambda row: -row[SORT])
    values = [row[SORT] for row in entries]
    table = pd.DataFrame(
        {"rank": str(values.index(row[SORT]) + 1), "method": row["method"],
         "backbone": row["backbone"], "span rule": row["span_rule"],
         **{m: number(row.get(m), 1) for m in METRICS}}
        for row in entries
    )  # fmt: skip
    return table, sentences


def _place(
    name: str, value: float, rule: str, known: Sequence, same: Sequence, supervision: str
) -> str:
    place = 1 + sum(row[SORT] > value for row in known)
    text = (
        f"{name}: rank {place} by {SORT} among {len(known)} published rows with {supervision} "
        "supervision"
    )
    if not same:
        return f"{text}; none of them states the span rule “{rule}”."
    inside = 1 + sum(row[SORT] > value for row in same)
    return f"{text}; rank {inside} among the {len(same)} of them with the span rule “{rule}”."


OUTCOMES: dict[str, tuple[Callable, Callable]] = {
    "right for the wrong reason": (
        lambda row: row["right"] and not row["grounded"],
        lambda row: (-(row["confidence"] or 0.0), -row["distance"]),
    ),
    "evidence found, answer wrong": (
        lambda row: not row["right"] and row["grounded"],
        lambda row: (-(row["confidence"] or 0.0), -row["IoU"]),
    ),
    "wrong and far away": (
        lambda row: not row["right"] and not row["grounded"],
        lambda row: (-(row["confidence"] or 0.0), -row["distance"]),
    ),
    "right and well grounded": (
        lambda row: row["right"] and row["grounded"],
        lambda row: (-row["IoU"], -row["IoP"]),
    ),
}
"""Outcome -> which questions, and by what they are ordered: surest and clearest first."""


def instructive(
    scored: Scored, rule: str, questions: Mapping[str, Question], each: int = EACH
) -> pd.DataFrame:
    """The surest and clearest questions of each outcome, no video twice in one outcome."""
    truths = scored.benchmark.truths
    rows = [row for row in scored.questions() if row["rule"] == rule and row["start"] is not None]
    for row in rows:
        row["distance"] = _distance(row, truths[row["key"]])
        chances = scored.predictions[row["key"]].choice_probabilities
        row["confidence"] = chances[row["predicted"]] if chances else None
    shown = []
    for outcome, (belongs, order) in OUTCOMES.items():
        videos: set[str] = set()
        for row in sorted(filter(belongs, rows), key=lambda r: (order(r), r["key"])):
            video = truths[row["key"]].video_id
            if row["predicted"] is not None and video not in videos and len(videos) < each:
                videos.add(video)
                shown.append(_shown(outcome, row, truths[row["key"]], questions[row["key"]]))
    return pd.DataFrame(shown)


def _distance(row: Mapping[str, Any], truth: Truth) -> float:
    """Seconds between the interval and the nearest annotated one, as a share of the video."""
    gaps = [max(s.start - row["end"], row["start"] - s.end, 0.0) for s in truth.segments]
    return min(gaps) / truth.duration


def _shown(outcome: str, row: Mapping[str, Any], truth: Truth, question: Question) -> dict:
    answer = "" if truth.answer is None else question.choices[truth.answer]
    evidence = ", ".join(f"{s.start:.1f} to {s.end:.1f}" for s in truth.segments)
    return {
        "outcome": outcome,
        "key": row["key"],
        "type": row["type"],
        "question": question.text,
        "chosen": question.choices[row["predicted"]],
        "right answer": answer,
        "interval (s)": f"{row['start']:.1f} to {row['end']:.1f}",
        "evidence (s)": evidence,
        "IoP": f"{row['IoP']:.2f}",
        "IoU": f"{row['IoU']:.2f}",
    }


def latex_rows(ours: Mapping[str, Mapping[str, Any]]) -> str:
    """A heading and one row for each of ours, to paste into a table."""
    heading = " & ".join(["Method", *METRICS])
    lines = [f"% {heading} \\\\"]
    for name, mine in ours.items():
        cells = [number(mine["scores"][m], 1) for m in METRICS]
        lines.append(" & ".join([_latex(name), *cells]) + r" \\")
    return "\n".join(lines)


def _latex(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, c) for c in text)
