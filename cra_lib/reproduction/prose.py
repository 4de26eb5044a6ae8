"""Numbers in texts come from the recorded ones: marked places in the pages are filled, not typed.

``<!-- claim:ID -->...<!-- /claim -->`` holds a claim's recorded outcome, and
``<!-- scores:VARIANT -->...<!-- /scores -->`` a variant's recorded Acc@QA / Acc@GQA / mIoU on the
test split of the embedded dataset; VARIANT may depart from its settings by name, such as
``cra@model.smoothing=softmax``. ``<!-- fall:VARIANT -->...<!-- /fall -->`` holds by how many points
its Acc@QA falls from test_iid to test_ood, with a 95 % interval over seeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from cra_lib.config import VARIANTS
from cra_lib.paths import atomic
from cra_lib.records import InputError
from cra_lib.reproduction.claims import Claim, Outcome, outcome_text
from cra_lib.reproduction.expected import Expected
from cra_lib.reproduction.verdicts import seed_interval

PLACE = re.compile(r"<!-- (claim|scores|fall):(\S+) -->(.*?)<!-- /\1 -->", re.S)
TYPED = re.compile(
    r"\d+\.\d\** / \**\d+\.\d\b"  # scores side by side
    r"|[+\u2212-]\d+\.\d points"
    r"|[+\u2212-]\d+\.\d+ \[[^\]]*\]"  # a difference with its interval
    r"|standard deviation \d|\(sd \d|\d+\.\d+ ± \d"
)
"""What a comparison with typed numbers looks like."""
METHOD = re.compile(
    "|".join(f"`{re.escape(name)}`" for name in VARIANTS)
    + r"|\bCRA\b|NG\+|Temp\[CLIP\] PH|released model"
)
"""What a sentence calls a method."""
RANKS = re.compile(
    r"\b(better|worse|best|fewer|higher|lower|ahead|outperforms?|beats?"
    r"|(more|less) (\w+ ){0,3}(right|grounded|accurate|than))\b"
)
"""What makes a sentence about methods a ranking."""
QUOTED = "(quoted)"
SHOWN = ("Acc@QA", "Acc@GQA", "mIoU")


def pages(root: Path) -> list[Path]:
    """The pages with marked places."""
    return [root / "README.md", root / "DEVIATIONS.md", *sorted(root.glob("docs/*.md"))]


def filled(text: str, claims: Mapping[str, Claim], expected: Expected) -> str:
    """The text with every marked place filled from the recorded numbers.

    Raises:
        InputError: a place names a claim that is not in the file of claims.
    """

    def fill(place: re.Match) -> str:
        kind, name, _ = place.groups()
        if kind == "claim" and name not in claims:
            raise InputError(f"A text quotes the claim {name!r}, which is not in claims.yaml.")
        if kind == "claim":
            recorded = expected.claims.get(name)
            outcome = Outcome(**recorded) if recorded else Outcome("not recorded yet")
            shown = outcome_text(claims[name], outcome)
        else:
            shown = {"scores": scores_text, "fall": fall_text}[kind](expected, name)
        return f"<!-- {kind}:{name} -->{shown}<!-- /{kind} -->"

    return PLACE.sub(fill, text)


def scores_text(expected: Expected, variant: str, split: str = "test") -> str:
    """Recorded means of SHOWN, and over how many seeds."""
    cells = {k.metric: k for k in expected.cells if (k.variant, k.split) == (variant, split)}
    if not all(metric in cells for metric in SHOWN):
        return "not recorded yet"
    means = [fmean(v for *_, v in expected.flat(cells[metric])) for metric in SHOWN]
    seeds = len(expected.seeds(cells[SHOWN[0]]))
    return " / ".join(f"{m:.1f}" for m in means) + (
        f" ({seeds} seeds)" if seeds > 1 else " (one seed)"
    )


def fall_text(expected: Expected, variant: str) -> str:
    """Recorded fall of Acc@QA from test_iid to test_ood: mean, interval over seeds, and n."""
    values = list(expected.fall(variant).values())
    if len(values) < 2:
        return f"{values[0]:.1f} (one seed)" if values else "not recorded yet"
    mean, low, high = seed_interval(values)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}], n = {len(values)}"


def typed_comparisons(text: str) -> list[str]:
    """Comparisons whose numbers stand outside of marked places and tables of results.

    A study (``<!-- study -->`` to ``<!-- /study -->``) was measured once, on the way to a
    decision, and says so with its n; nothing later is held against it.
    """
    outside = re.sub(r"<!-- study -->.*?<!-- /study -->", "", PLACE.sub("", text), flags=re.S)
    outside = re.sub(r"<!-- results:begin -->.*?<!-- results:end -->", "", outside, flags=re.S)
    return [found.group() for found in TYPED.finditer(outside)]


def bare_comparisons(text: str) -> list[str]:
    """Sentences that rank two methods and quote no claim: what they say could go stale unseen."""
    marked = PLACE.sub(QUOTED, text)
    outside = re.sub(r"<!-- study -->.*?<!-- /study -->|```.*?```", "", marked, flags=re.S)
    sentences = re.split(r"(?<=[.;|?])\s|\n\n|\n- ", outside)
    return [
        " ".join(sentence.split())
        for sentence in sentences
        if RANKS.search(sentence)
        and QUOTED not in sentence
        and len(set(METHOD.findall(sentence))) > 1
    ]


def fill_pages(root: Path, claims: Mapping[str, Claim], expected: Expected) -> list[Path]:
    """Fill the marked places of all pages; the pages that changed."""
    changed = []
    for path in filter(Path.is_file, pages(root)):
        before = path.read_text(encoding="utf-8")
        after = filled(before, claims, expected)
        if after != before:
            with atomic(path) as partial:
                partial.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed
