"""The evaluation card: one page about anybody's predictions, to be opened without a network.

One set of predictions, or two that are compared; the numbers are those of the score report, which
the page carries as JSON too (``<script type="application/json" id="report">``).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cra_lib.datasets import DATASETS
from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.evaluator.leaderboard import read_published
from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.evaluator.packaged import packaged_dataset, packaged_names, packaged_source
from cra_lib.evaluator.scoring import Benchmark, Scored
from cra_lib.paths import atomic, published_csv, sha256
from cra_lib.records import stored
from cra_lib.reporting import card_tables as tables
from cra_lib.reporting.figures import faithfulness as figures
from cra_lib.reporting.figures.catalogue import FIGURES
from cra_lib.reporting.figures.spans import span_distributions
from cra_lib.reporting.figures.style import drawn
from cra_lib.reporting.report import Picture, picture_of, render
from cra_lib.reporting.tables.writing import to_html

BIBTEX = """@inproceedings{chen2025cra,
  title = {Cross-modal Causal Relation Alignment for Video Question Grounding},
  author = {Chen, Weixing and Liu, Yang and Chen, Binglin and Su, Jiandong and Zheng, Yongsen
            and Lin, Liang},
  booktitle = {CVPR}, year = {2025}
}
@inproceedings{xiao2024nextgqa,
  title = {Can I Trust Your Answer? Visually Grounded Video Question Answering},
  author = {Xiao, Junbin and Yao, Angela and Li, Yicong and Chua, Tat-Seng},
  booktitle = {CVPR}, year = {2024}
}"""
SIDES = ("A", "B")


def write_card(
    path: Path,
    scored: Mapping[str, Scored],
    *,
    comparison: Mapping[str, Any] | None = None,
    command: str = "",
    supervision: str = "weak",
) -> Path:
    """Write the card whole or not at all.

    Args:
        scored: name -> what `score_files` found; one set of predictions or two.
        comparison: what `comparison.compare` says of the two.
        command: how the scores were made, to be repeated.
        supervision: of the published rows to stand among.

    Raises:
        InputError: the annotation's questions cannot be read.
    """
    page = render(card_facts(scored, comparison, command, supervision), "card.html")
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def card_facts(
    scored: Mapping[str, Scored],
    comparison: Mapping[str, Any] | None,
    command: str,
    supervision: str,
) -> dict[str, Any]:
    """Everything that the template shows."""
    keys = SIDES[: len(scored)] if len(scored) > 1 else ("predictions",)
    sides = dict(zip(keys, scored.values(), strict=True))
    names = dict(zip(keys, scored, strict=True))
    rules = {key: next(iter(one.report["rules"])) for key, one in sides.items()}
    ours = {
        names[key]: {
            "header": one.report["header"],
            "rule": rules[key],
            "scores": one.report["rules"][rules[key]],
        }
        for key, one in sides.items()
    }
    benchmark = next(iter(sides.values())).benchmark
    rank, places = _rank(ours, benchmark, supervision)
    return {
        "title": " and ".join(names.values()),
        "names": names if len(names) > 1 else {},
        "about": _about(benchmark, sides, rules),
        "notes": list(dict.fromkeys(note for one in sides.values() for note in one.notes)),
        "tiles": _tiles(sides, rules),
        "sides": [_side(key, names[key], one, rules[key], benchmark) for key, one in sides.items()],
        "comparison": _comparison(comparison) if comparison else None,
        "rank": to_html(rank) if len(rank) else "",
        "places": places,
        "pictures": _pictures(sides, rules),
        "latex": tables.latex_rows(ours),
        "bibtex": BIBTEX,
        "command": command,
        "hashes": _hashes(sides.values()),
        "annotation": _annotation(benchmark),
        "versions": _versions(),
        "report": _embedded({names[key]: one.report for key, one in sides.items()}, comparison),
    }


def _about(benchmark: Benchmark, sides: Mapping[str, Scored], rules: Mapping[str, str]) -> str:
    header = next(iter(sides.values())).report["header"]
    counted = "left out (official)" if header["official"] else "counted as wrong"
    stamps = f"; stamps {header['stamps']}" if header.get("stamps") else ""
    return (
        f"{benchmark.name}, split {benchmark.split}: {header['questions']:,} questions on "
        f"{header['videos']:,} videos; intervals by {' and '.join(dict.fromkeys(rules.values()))}"
        f"{stamps}; missing predictions {counted}."
    )


def _tiles(sides: Mapping[str, Scored], rules: Mapping[str, str]) -> list[dict[str, str]]:
    tiles = []
    for metric in HEADLINE:
        for key, one in sides.items():
            value = one.report["rules"][rules[key]][metric]
            ends = one.report["intervals"].get(rules[key], {}).get(metric)
            interval = f" ({ends[0]:.1f} to {ends[1]:.1f})" if ends else ""
            label = metric if len(sides) == 1 else f"{metric}, {key}"
            shown = tables.number(value) or "not defined"
            tiles.append({"label": label, "value": f"{shown}{interval}"})
    return tiles


def _side(key: str, name: str, one: Scored, rule: str, benchmark: Benchmark) -> dict[str, Any]:
    report = one.report
    asked = {q.key: q for q in read_questions(benchmark.files.questions(benchmark.split))}
    chosen = tables.instructive(one, rule, asked)
    shares = report["faithfulness"].get(rule)
    cells = {name: tables.number(value) for name, value in shares.items()} if shares else {}
    overlap = report["same_video_overlap"]
    return {
        "key": key,
        "name": name,
        "rule": rule,
        "scores": to_html(tables.score_rows(report)),
        "types": to_html(tables.type_rows(report["by_type"][rule])),
        "constant": tables.against_constant(report, rule),
        "faithfulness": to_html(pd.DataFrame([{"intervals by": rule, **cells}])) if cells else "",
        "overlap": (
            f"Two questions on one video get intervals with a mean IoU of "
            f"{tables.number(overlap.get(rule))}; in the annotation it is "
            f"{tables.number(overlap['truth'])}."
            if overlap.get(rule) is not None
            else ""
        ),
        "calibration": report["calibration"].get("error"),
        "questions": [
            (outcome, to_html(rows.drop(columns="outcome").set_index("key")))
            for outcome, rows in (chosen.groupby("outcome", sort=False) if len(chosen) else ())
        ],
    }


def _rank(
    ours: Mapping[str, Any], benchmark: Benchmark, supervision: str
) -> tuple[pd.DataFrame, list[str]]:
    subset = any(mine["header"].get("subset") for mine in ours.values())
    dataset = dataset_of(benchmark)
    if subset or not dataset:
        why = "a subset was scored" if subset else "the annotation is of no published benchmark"
        return pd.DataFrame(), [f"No rank among published rows: {why}."]
    found = tables.ranked(
        read_published(published_csv()), ours, dataset, benchmark.split, supervision
    )
    none = f"Nothing published to rank among for {dataset} {benchmark.split}."
    return found if found[1] else (pd.DataFrame(), [none])


def dataset_of(benchmark: Benchmark) -> str:
    """The dataset that the questions belong to: a packaged one by its keys, else by the folder."""
    for name in packaged_names():
        files = packaged_dataset(name)
        if stored(files.segments(benchmark.split)):
            known = read_truths(files, benchmark.split)
            if set(benchmark.truths) == set(known):
                return name
    folder = Path(benchmark.name).name
    return folder if folder in DATASETS and folder not in packaged_names() else ""


def _comparison(comparison: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {
            "metric": name,
            "A": tables.number(row["first"]),
            "B": tables.number(row["second"]),
            "B - A": f"{row['difference']:+.2f}",
            "95 % interval": f"{row['low']:+.2f} to {row['high']:+.2f}",
            "p": _p_value(row["p_value"]).removeprefix("= "),
        }
        for name, row in comparison["metrics"].items()
    ]
    tests = [
        f"McNemar, {name}: A alone {test['only_first']:,}, B alone {test['only_second']:,}, "
        f"p {_p_value(test['p_value'])}."
        for name, test in comparison["mcnemar"].items()
    ]
    return {
        "table": to_html(pd.DataFrame(rows).set_index("metric")),
        "tests": tests,
        "resamplings": comparison["header"]["bootstrap"],
        "wins": comparison["wins"],
        "losses": comparison["losses"],
    }


def _p_value(value: float) -> str:
    return f"= {value:.4f}" if value >= 1e-4 else "< 0.0001"


def _pictures(sides: Mapping[str, Scored], rules: Mapping[str, str]) -> list[Picture]:
    with_spans = {
        key: one for key, one in sides.items() if rules[key] in one.report["faithfulness"]
    }
    calibrated = {key: one.report["calibration"] for key, one in sides.items()}
    made = {}
    if with_spans:
        shares = {k: o.report["faithfulness"][rules[k]] for k, o in with_spans.items()}
        overlaps = {k: o.report["same_video_overlap"][rules[k]] for k, o in with_spans.items()}
        first = next(iter(with_spans.values())).report
        histograms = {k: o.report["span_histograms"][rules[k]] for k, o in with_spans.items()}
        made["faithfulness"] = figures.faithfulness_bars(pd.DataFrame(shares).T)
        if all(value is not None for value in overlaps.values()):
            made["same_video_overlap"] = figures.same_video_overlap(
                overlaps, first["same_video_overlap"]["truth"]
            )
        made["iop_curves"] = figures.iop_curves(
            {key: _overlaps(one, rules[key]) for key, one in with_spans.items()}
        )
        made["span_distributions"] = span_distributions(
            {**histograms, "truth": first["span_histograms"]["truth"]}
        )
    if any(calibrated.values()):
        made["calibration"] = figures.calibration(calibrated)
    return [
        picture_of(
            drawn(figure),
            name,
            _caption(name),
            FIGURES[name].alt,
        )
        for name, figure in made.items()
    ]


def _caption(name: str) -> str:
    """The catalogue's caption without its word for the split, which the page's head names."""
    text = FIGURES[name].caption
    for words in (", on the test split", "test split; "):
        text = text.replace(words, "")
    return text.replace("test questions", "questions").replace("test video", "video")


def _overlaps(one: Scored, rule: str) -> np.ndarray:
    rows = one.questions()
    return np.array([r["IoP"] for r in rows if r["rule"] == rule and r["start"] is not None])


def _hashes(sides: Sequence[Scored]) -> list[tuple[str, str]]:
    paths = {Path(p) for one in sides for p in one.report["header"]["predictions"]}
    return [(str(p), sha256(p)) for p in sorted(paths)]


def _annotation(benchmark: Benchmark) -> list[tuple[str, str]]:
    """The annotation's files with their hashes; packaged ones with repository and commit too."""
    files = benchmark.files
    used = [files.questions(benchmark.split), files.segments(benchmark.split)]
    if benchmark.name in packaged_names() and files == packaged_dataset(benchmark.name):
        recorded = packaged_source(benchmark.name)["files"]
        entries = [(path.name, recorded[path.name]) for path in used]
        return [
            (f"{e['repository']} at {e['commit'][:10]}, {name}", e["sha256"]) for name, e in entries
        ]
    there = [path for path in map(stored, used) if path]
    return [(str(path), sha256(path)) for path in there]


def _versions() -> dict[str, str]:
    try:
        own = version("cra-lib")
    except PackageNotFoundError:
        own = "not installed"
    return {"cra-lib": own, "python": platform.python_version(), "numpy": np.__version__}


def _embedded(reports: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    """The numbers as JSON that no text in it can break out of."""
    text = json.dumps({"reports": reports, "comparison": comparison}, indent=1)
    return text.replace("<", "\\u003c")
