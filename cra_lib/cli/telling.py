"""What commands that run a notebook say when it does not end well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def failures_told(label: str) -> Iterator[None]:
    """What a notebook's run may end with, as one line and an exit status."""
    from cra_lib.reproduction.notebook import CellFailed, KernelDied

    try:
        yield
    except (CellFailed, KernelDied) as problem:
        typer.echo(f"{label}: {problem.exit_state}. {problem}", err=True)
        raise typer.Exit(problem.exit_code) from None
    except OSError as problem:  # such as a full disk, which leaves no room for the copy either
        typer.echo(f"{label}: {problem}", err=True)
        raise typer.Exit(1) from None
