"""Commands that score prediction files; none of them imports torch."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
