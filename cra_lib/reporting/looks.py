"""Names, order and colours of the methods, the same in every table and figure.

Colours are Okabe and Ito's without their yellow, which white paper swallows, and darker ones of
Paul Tol's, told apart by colour-blind readers; where lines meet, marker and line style differ too,
so that a figure also survives a black-and-white printer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PINK, TEAL = "#D55E00", "#CC79A7", "#117777"
OLIVE, WINE, INDIGO, PURPLE, BROWN = "#8A8A20", "#882255", "#332288", "#9A6FD0", "#8A5A10"
GREY, BLACK = "#8A8A8A", "#222222"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PINK, SKY, OLIVE, GREY)
TRUTH = GREEN
"""Ground truth has this colour in every figure, and no method has it."""


class Look(NamedTuple):
    """How one method is drawn wherever it appears."""

    label: str
    colour: str
    marker: str
    line: str = "-"


LOOKS = {
    "cra": Look("CRA", BLUE, "o"),
    "cra-released": Look("CRA (released)", SKY, "s", "--"),
    "no-causal": Look("CRA without ECI", WINE, "^"),
    "no-gsg": Look("CRA without GSG", PINK, "v"),
    "no-cma": Look("CRA without CMA", OLIVE, "P"),
    "no-lci": Look("CRA without LCI", PURPLE, "<"),
    "no-vci": Look("CRA without VCI", INDIGO, ">"),
    "literal-back-door": Look("literal back-door (ours)", TEAL, "p", "-."),
    "post-hoc": Look("Temp[CLIP] PH", ORANGE, "D"),
    "ng": Look("Temp[CLIP] NG", BROWN, "h"),
    "ng+": Look("Temp[CLIP] NG+", VERMILLION, "X"),
    "frozen-cra": Look("FrozenBiLM CRA", "#004488", "o", "-."),
    "frozen-cra-released": Look("FrozenBiLM CRA (released)", "#6699CC", "s", "--"),
    "frozen-no-causal": Look("FrozenBiLM CRA without ECI", "#225522", "^", "-."),
    "frozen-no-gsg": Look("FrozenBiLM CRA without GSG", "#997799", "v", "-."),
    "frozen-no-cma": Look("FrozenBiLM CRA without CMA", "#999933", "P", "-."),
    "frozen-no-lci": Look("FrozenBiLM CRA without LCI", "#7755AA", "<", "-."),
    "frozen-no-vci": Look("FrozenBiLM CRA without VCI", "#44AA99", ">", "-."),
    "frozen-post-hoc": Look("FrozenBiLM PH", "#AA7700", "D", "-."),
    "frozen-ng": Look("FrozenBiLM NG", "#664411", "h", "-."),
    "frozen-ng+": Look("FrozenBiLM NG+", "#882200", "X", "-."),
    "blind": Look("Blind (no video)", GREY, "*", ":"),
    "random": Look("Random", GREY, ".", ":"),
    "truth": Look("Ground truth", TRUTH, "_"),
}
"""Variant -> its look, in the order of tables and legends."""


SIDES = {
    "predictions": Look("Predictions", BLUE, "o"),
    "A": Look("A", BLUE, "o"),
    "B": Look("B", VERMILLION, "X", "--"),
}
"""Anybody's predictions on an evaluation card: alone, or two that are compared."""


def look(variant: str) -> Look:
    """The look of a variant; one that has none of its own is drawn like its base, dashed.

    >>> look("no-cma-released").label
    'CRA without CMA (released)'
    >>> look("ng+@train.epochs=3").label
    'Temp[CLIP] NG+, train.epochs=3'
    """
    if variant in LOOKS:
        return LOOKS[variant]
    if variant in SIDES:
        return SIDES[variant]
    name, mark, settings = variant.partition("@")
    if mark:  # a run with settings of its own
        like = look(name)
        return Look(f"{like.label}, {settings}", like.colour, like.marker, ":")
    base = LOOKS.get(variant.removesuffix("-released"))
    if base is None:
        return Look(variant, BLACK, "o", "-.")
    return Look(f"{base.label} (released)", base.colour, base.marker, "--")


def in_order(variants: Iterable[str]) -> list[str]:
    """Variants in the order of the tables, those without a look of their own last; a run with
    settings of its own follows its variant."""
    order = list(LOOKS)

    def place(name: str) -> tuple[int, str]:
        base = name.partition("@")[0]
        return (order.index(base) if base in order else len(order), name)

    return sorted(set(variants), key=place)
