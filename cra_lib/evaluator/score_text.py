"""Score reports and comparisons as plain text tables for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cra_lib.evaluator.metrics import METRICS


def table_text(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns: the first to the left, numbers to the right; None is a dash."""
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = []
    for row in cells:
        parts = [row[0].ljust(widths[0])]
        parts += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(parts).rstrip())
    rule = "-" * len(max(lines, key=len))
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def header_text(header: Mapping[str, Any]) -> str:
    """One line that says what was scored, against what, and how."""
    counted = "left out (official)" if header["official"] else "counted as wrong"
    parts = [f"split {header['split']}"] if "split" in header else []
    parts += [f"rules {', '.join(header['rules'])}"]
    parts += [f"stamps {header['stamps']}"] if header.get("stamps") else []
    parts += [f"{header['questions']} questions on {header['videos']} videos"]
    parts += [f"missing predictions {counted}"]
    return "; ".join(parts)


def report_text(
    report: Mapping[str, Any], with_types: bool = False, with_blind: bool = True
) -> str:
    """The report's tables: rules with intervals, types, faithfulness, blind rows."""
    headings = ("", *METRICS, "questions", "skipped")
    parts = [header_text(report["header"]), ""]
    rows = []
    for rule, values in report["rules"].items():
        rows.append([rule, *(values[name] for name in headings[1:])])
        if ends := report["intervals"].get(rule):
            rows.append(["  95 % from", *(ends.get(n, (None,))[0] for n in METRICS), "", ""])
            rows.append(["  to", *(ends.get(n, (None, None))[1] for n in METRICS), "", ""])
    if with_blind:
        for name, values in report["blind"].items():
            rows.append([f"blind: {name}", *(values[column] for column in headings[1:])])
    parts.append(table_text(headings, rows))
    if with_types:
        parts += ["", _types_text(report)]
    if report["faithfulness"]:
        parts += ["", _faithfulness_text(report)]
    if error := report["calibration"].get("error"):
        parts += ["", f"Expected calibration error of the answers: {error:.2f} %"]
    return "\n".join(parts)


def _types_text(report: Mapping[str, Any]) -> str:
    rows = [
        [f"{rule}: {group}", *(values[name] for name in (*METRICS, "questions"))]
        for rule, groups in report["by_type"].items()
        for group, values in groups.items()
    ]
    return table_text(("by type", *METRICS, "questions"), rows)


def _faithfulness_text(report: Mapping[str, Any]) -> str:
    names = next(iter(report["faithfulness"].values()))
    overlaps = report["same_video_overlap"]
    rows = [
        [rule, *shares.values(), overlaps[rule]] for rule, shares in report["faithfulness"].items()
    ]
    rows.append(["truth", *([None] * len(names)), overlaps["truth"]])
    return table_text(("", *names, "same-video IoU"), rows)


def comparison_text(comparison: Mapping[str, Any], names: Sequence[str], listed: int = 10) -> str:
    """The comparison as tables, with the first wins and losses of the second model."""
    header = comparison["header"]
    rules = " and ".join(rule or "answers alone" for rule in dict.fromkeys(header["rules"]))
    rows = [
        [
            name,
            row["first"],
            row["second"],
            f"{row['difference']:+.2f}",
            f"[{row['low']:+.2f}, {row['high']:+.2f}]",
            f"{row['p_value']:.4f}",
        ]
        for name, row in comparison["metrics"].items()
    ]
    parts = [
        f"A {names[0]}",
        f"B {names[1]}",
        f"{rules}; {header['questions']} questions on {header['videos']} videos; "
        f"{header['bootstrap']} paired resamplings of videos",
        "",
        table_text(("", "A", "B", "B - A", "95 % interval", "p"), rows),
    ]
    for name, test in comparison["mcnemar"].items():
        parts.append(
            f"McNemar {name}: A alone {test['only_first']}, B alone {test['only_second']}, "
            f"p = {test['p_value']:.4f}"
        )
    for title in ("wins", "losses"):
        keys = comparison[title]
        more = " ..." if len(keys) > listed else ""
        parts.append(f"{title} of B: {len(keys)}: {' '.join(keys[:listed])}{more}")
    return "\n".join(parts)
