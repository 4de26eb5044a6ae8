"""The `cra` command: thin commands over the library, one module a family.

Each command imports what it needs when it runs, so that `cra evaluate` starts without torch.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import typer

from cra_lib.records import InputError

app = typer.Typer(
    name="cra",
    help="Video question grounding with Cross-modal Causal Relation Alignment (CRA).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FAMILIES = (
    "scoring", "exploring", "data", "causal", "models", "training", "study", "asking", "workflow",
)  # fmt: skip
"""Modules of this package; each has `register(app)`, which adds its commands."""

for _family in FAMILIES:
    import_module(f"cra_lib.cli.{_family}").register(app)


@app.callback()
def _root() -> None:
    """Video question grounding with Cross-modal Causal Relation Alignment (CRA)."""


def main() -> None:
    """Run the command line; what goes wrong outside of it is one sentence on stderr.

    Exit codes: 2 for bad or missing input, 1 for a system that refuses (a full disk, permission).
    """
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # bars break logs
    try:
        app()
    except InputError as error:
        print(f"cra: {error}", file=sys.stderr)
        sys.exit(2)
    except SyntaxError as error:  # somebody is editing the library
        print(f"cra: {error.filename}, line {error.lineno}: {error.msg}; correct it.",
              file=sys.stderr)  # fmt: skip
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"cra: {where}{error.strerror or error}. Nothing half-written is left.", file=sys.stderr
        )
        sys.exit(2 if isinstance(error, FileNotFoundError) else 1)
    except ModuleNotFoundError as error:
        print(
            f"cra: this command needs {error.name!r}, which is not installed; "
            "run: pip install 'cra-lib[full]'",
            file=sys.stderr,
        )
        sys.exit(2)
