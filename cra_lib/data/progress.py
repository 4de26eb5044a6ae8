"""One bar of progress for everything that takes long: on a terminal, and in JupyterLab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def is_watched() -> bool:
    """True where somebody sees a bar move: a terminal, or a notebook with a front end.

    A notebook that is run by ``cra notebook`` has none; it sets ``TQDM_DISABLE``, tqdm's own name
    for that, and lines take the bar's place. It is read here, because tqdm's bar for notebooks
    does not ask for it.
    """
    is_off = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return not is_off and (sys.stderr.isatty() or _in_jupyter())


def _in_jupyter() -> bool:
    """True in a kernel; a plain IPython shell is a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def with_bar(
    items: Iterable[Item], total: int, title: str, unit: str, *, shown: bool = True
) -> Iterator[Item]:
    """The items, with a bar where `is_watched`.

    Args:
        total: how many there will be.
        unit: what one of them is, such as "step".
        shown: False where another process shows it.
    """
    if not (shown and is_watched()):
        yield from items
        return
    from tqdm.auto import tqdm

    yield from tqdm(items, total=total, desc=title, leave=False, unit=unit)
