"""The look that all figures share, and the one way they are saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.transforms import Bbox

from cra_lib.paths import ResultFiles, RunFiles, atomic
from cra_lib.reporting.tables.writing import SavedTable, write_table

COLUMN = 3.4
"""Width of one column of the paper, in inches."""
PAGE = 7.0
"""Width of both columns, in inches."""
DPI = 200

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a figure function under the shared settings, whatever the caller's are."""

    @wraps(draw)
    def under_style(*args, **kwargs) -> Figure:
        with mpl.rc_context({**mpl.rcParamsDefault, **RC}):
            return draw(*args, **kwargs)

    return under_style


def blank(width: float = COLUMN, height: float = 2.2) -> Figure:
    """An empty figure in inches, laid out so that nothing is cut off; pyplot never sees it."""
    return Figure(figsize=(width, height), layout="constrained")


def percent_axis(axes: Axes, which: str = "y", top: float | None = 100) -> None:
    """Start the axis at zero and end it at ``top`` percent."""
    (axes.set_ylim if which == "y" else axes.set_xlim)(0, top)


def with_data(figure: Figure, table: pd.DataFrame) -> Figure:
    """The figure with the numbers that it draws, which `save` writes beside it as CSV."""
    figure.data = table
    return figure


def clear(results: ResultFiles) -> None:
    """Remove what notebook 05 has made before, so that no figure outlives its data."""
    from cra_lib.reporting.figures.catalogue import FIGURES, TABLES

    for folder, items in ((results.figures, FIGURES), (results.tables, TABLES)):
        for name, item in items.items():
            for path in folder.glob(f"{name}.*") if item.notebook == "05" else ():
                path.unlink()


def settle(figure: Figure) -> None:
    """Lay a figure out and round where its parts lie.

    The solver of the layout adds in an order that differs from process to process; without this
    the same figure would differ in the seventh digit of a PDF.
    """
    if isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        return  # laid out for the file before
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    panels = list(figure.subfigs)
    titles = list(figure.texts)
    while panels:
        panel = panels.pop()
        panels += panel.subfigs
        titles += panel.texts
        panel.bbox_relative.p0 = panel.bbox_relative.p0.round(5)
        panel.bbox_relative.p1 = panel.bbox_relative.p1.round(5)
    for axes in figure.findobj(Axes):
        axes.set_position(Bbox(axes.get_position(original=True).get_points().round(5)))
    for text in titles:
        text.set_position([round(place, 5) for place in text.get_position()])


@dataclass(frozen=True)
class SavedFigure:
    """A figure on disk; as the last line of a notebook cell it shows exactly the saved PNG."""

    png: Path
    pdf: Path
    alt: str
    width: int
    """Display width in pixels."""

    def _repr_png_(self) -> tuple[bytes, dict]:
        return self.png.read_bytes(), {"width": self.width}

    def __repr__(self) -> str:
        return f"{self.alt} [{self.png.name}, {self.pdf.name}]"


def drawn(figure: Figure, suffix: str = "png") -> bytes:
    """What a file of the figure holds, without dates inside."""
    clean = {"Software": None} if suffix == "png" else {"CreationDate": None}
    buffer = BytesIO()
    with mpl.rc_context({**mpl.rcParamsDefault, **RC}):
        settle(figure)
        figure.savefig(buffer, format=suffix, dpi=DPI, metadata=clean)
    return buffer.getvalue()


def save(figure: Figure, folder: Path, name: str, alt: str | None = None) -> SavedFigure:
    """Write ``folder/name.png`` and ``.pdf`` whole or not at all, without dates inside; and
    ``.csv`` with the numbers drawn, where the figure carries them (`with_data`).

    Args:
        alt: what a reader who cannot see it should be told; by default the catalogue's sentence.
    """
    from cra_lib.reporting.figures.catalogue import FIGURES

    alt = alt or (FIGURES[name].alt if name in FIGURES else name.replace("_", " "))
    paths = {suffix: Path(folder) / f"{name}.{suffix}" for suffix in ("png", "pdf")}
    for suffix, path in paths.items():
        with atomic(path) as partial:
            partial.write_bytes(drawn(figure, suffix))
    if (data := getattr(figure, "data", None)) is not None:
        with atomic(Path(folder) / f"{name}.csv") as partial:
            data.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
    width = round(figure.get_figwidth() * 110)
    return SavedFigure(paths["png"], paths["pdf"], alt, width)


class Shelf:
    """Where one notebook puts what it shows: ``shelf(name, figure or table)`` saves and returns it.

    Args:
        place: the results of a dataset, with a folder each for figures and tables, or one run,
            whose figures lie beside its other files.
    """

    def __init__(self, place: ResultFiles | RunFiles):
        whole = isinstance(place, ResultFiles)
        self.figures = place.figures if whole else place.root
        self.tables = place.tables if whole else place.root

    def __call__(self, name: str, made: Figure | pd.DataFrame) -> SavedFigure | SavedTable:
        if isinstance(made, Figure):
            return save(made, self.figures, name)
        return write_table(made, self.tables, name)
