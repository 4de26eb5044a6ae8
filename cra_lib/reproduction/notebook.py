"""Run one notebook with checked parameters; keep its executed copy, also when it fails.

papermill injects and executes; this module adds what it leaves out: parameters that the notebook
does not declare are refused, an `InputError` raised in a cell comes back as one, a dead kernel is
told apart from a failing cell, the copy is written whole, and every run enters the manifest.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cra_lib.data.machine import absent
from cra_lib.paths import remove_unfinished, repository_root, require
from cra_lib.records import InputError
from cra_lib.reproduction import manifest
from cra_lib.reproduction.executed_page import GRAMMARS, write_html
from cra_lib.reproduction.progress import Progress

Scalar = str | int | float | bool | None


class CellFailed(RuntimeError):
    """A cell raised something that is not bad input; the message names cell and error."""

    exit_state, exit_code = "cell failed", 1


class KernelDied(RuntimeError):
    """The process behind the notebook is gone, most often for want of memory."""

    exit_state, exit_code = "kernel died", 4


@dataclass(frozen=True)
class Parameter:
    """One name of the parameters cell."""

    name: str
    default: Scalar
    types: tuple[type, ...]
    """Accepted types; `NoneType` among them where None is a value."""

    def describe(self) -> str:
        names = ["None" if kind is type(None) else kind.__name__ for kind in self.types]
        return " or ".join(names)

    def accepts(self, value: Scalar) -> bool:
        if isinstance(value, bool):
            return bool in self.types
        if isinstance(value, int) and float in self.types:
            return True
        return isinstance(value, self.types)

    def parse(self, text: str) -> Scalar:
        """The value that a command line's text stands for, by the declared type."""
        if type(None) in self.types and text in ("None", "null"):
            return None
        if str in self.types:
            return text
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text


def declared_parameters(notebook: Path) -> dict[str, Parameter]:
    """Name -> parameter of the cell tagged ``parameters``.

    Raises:
        InputError: no notebook there, or not exactly one such cell.
    """
    cells = _read(notebook)
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise InputError(
            f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}; tag the "
            "first code cell (JupyterLab: property inspector, cell tags)."
        )
    try:
        statements = ast.parse("".join(tagged[0]["source"])).body
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(
            f"{notebook}: its parameters cell{line} is not Python ({error!s:.80}); correct it."
        ) from None
    return {p.name: p for s in statements if (p := _parameter(s, notebook)) is not None}


def _read(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook."""
    require(notebook, "Notebook", "See notebooks/ for the names.")
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        kinds = [(cell["cell_type"], "".join(cell["source"]), cell["metadata"]) for cell in cells]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{notebook}: not a notebook ({type(error).__name__}: {error!s:.80}); restore it."
        ) from None
    if not all(isinstance(metadata, dict) for _, _, metadata in kinds):
        raise InputError(f"{notebook}: not a notebook (metadata of a cell); restore it.")
    return cells


def _parameter(statement: ast.stmt, notebook: Path) -> Parameter | None:
    """The parameter that one assignment declares; None for anything else.

    Raises:
        InputError: its default is no plain value.
    """
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target, annotation = statement.target, ast.unparse(statement.annotation)
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, annotation = statement.targets[0], ""
    else:
        return None
    if not isinstance(target, ast.Name) or not target.id.isupper():
        return None
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        default = statement
    if not isinstance(default, Scalar):
        raise InputError(
            f"{notebook}: parameter {target.id} should have a plain default (text, a number, True, "
            f"False or None), not {ast.unparse(statement.value):.60}."
        )
    known = {"str": str, "int": int, "float": float, "bool": bool, "None": type(None)}
    types = tuple(known[word] for word in re.findall(r"\w+", annotation) if word in known)
    if not types:  # a bare None accepts any scalar
        types = tuple(known.values()) if default is None else (type(default),)
    return Parameter(target.id, default, types)


def check_parameters(notebook: Path, given: dict[str, Scalar]) -> dict[str, Parameter]:
    """Refuse what the notebook does not declare, or declares with another type.

    Raises:
        InputError: an unknown name or a value of the wrong type.
    """
    declared = declared_parameters(notebook)
    for name, value in given.items():
        if name not in declared:
            known = ", ".join(declared)
            raise InputError(f"{notebook.name} has no parameter {name!r}; it declares: {known}.")
        if not declared[name].accepts(value):
            raise InputError(
                f"{notebook.name}: parameter {name} takes {declared[name].describe()}, "
                f"got {value!r}."
            )
    return declared


def parse_parameters(notebook: Path, words: Iterable[str]) -> dict[str, Scalar]:
    """Values for a command line's ``NAME=VALUE`` words, each read as its declared type.

    Raises:
        InputError: not of that form, an unknown name, or a value of the wrong type.
    """
    declared, values = declared_parameters(notebook), {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"-p takes NAME=VALUE, got {word!r}.")
        values[name] = declared[name].parse(text) if name in declared else text
    check_parameters(notebook, values)
    return values


def copy_name(notebook: Path, given: Mapping[str, Scalar]) -> str:
    """File name of the executed copy: every variant and seed has its own, as in the workflow."""
    values = {name: p.default for name, p in declared_parameters(notebook).items()} | dict(given)
    if "VARIANT" in values and "SEED" in values:
        return f"{notebook.stem}_{values['VARIANT']}_seed{values['SEED']}{notebook.suffix}"
    return notebook.name


def run_notebook(
    notebook: Path,
    out: Path,
    parameters: dict[str, Scalar],
    *,
    manifest_path: Path | None = None,
    inputs: Iterable[Path] = (),
    outputs: Iterable[Path] = (),
    html: bool = True,
    say: Callable[[str], None] = lambda line: None,
    expected: float = 0.0,
) -> None:
    """Execute ``notebook`` with ``parameters``; leave ``out`` and, with ``html``, a page beside it.

    Args:
        manifest_path: where the entry is recorded; None records nothing.
        inputs: files whose hashes enter the manifest.
        outputs: files whose hashes enter the manifest once the run is done.
        say: receives the epoch lines that the notebook prints, and in between its place.
        expected: seconds that it will take; 0 where nobody knows.

    Raises:
        InputError: a bad parameter (nothing is executed), or raised by a cell.
        CellFailed: a cell raised anything else.
        KernelDied: the kernel's process ended.
    """
    notebook, out = Path(notebook), Path(out)
    check_parameters(notebook, parameters)
    progress = Progress(say, _count_cells(notebook, parameters), expected)
    started, state, error = time.time(), "ok", None
    try:
        _execute(notebook, out, parameters, progress)
    except InputError as problem:
        state, error = "bad input", str(problem)
        raise
    except (CellFailed, KernelDied) as problem:
        state, error = problem.exit_state, str(problem)
        raise
    finally:
        if html and out.exists():
            write_html(out)
        if manifest_path is not None:
            root = repository_root()
            entry = {
                "notebook": _shorten(notebook, root),
                "executed": _shorten(out, manifest_path.parent),
                "parameters": parameters,
                "seed": parameters.get("SEED"),
                "commit": manifest.git_state(root),
                "inputs": manifest.hashes(inputs, root),
                "outputs": manifest.made_by(manifest_path, out, parameters, started, outputs, root),
                "device": manifest.device(),
                "versions": manifest.versions(),
                "started": round(started, 1),
                "seconds": round(time.time() - started, 1),
                "exit_state": state,
                "error": error,
            }
            manifest.record(manifest_path, out.stem, entry)


def _shorten(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _count_cells(notebook: Path, parameters: Mapping[str, Scalar]) -> int:
    """Code cells that will run; papermill adds one with the parameters that are given."""
    code = [cell for cell in _read(notebook) if cell["cell_type"] == "code"]
    return sum(bool("".join(cell["source"]).strip()) for cell in code) + bool(parameters)


def _execute(notebook: Path, out: Path, parameters: dict, progress: Progress) -> None:
    """One papermill run; its exceptions become ours, and ``out`` is replaced in every case."""
    with absent(GRAMMARS):
        import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a warning per kernel otherwise
    # Bars of weights being loaded would stay in the executed copy as "0 %".
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    with _kept(out) as partial, progress.watched():
        try:
            papermill.execute_notebook(
                notebook,
                partial,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                cwd=notebook.parent,
                stdout_file=progress,
                on_cell_start=progress.cell_started,
                start_timeout=120,
                extra_arguments=["--log-level=ERROR"],
            )
        except PapermillExecutionError as error:
            raise _translated(error, out) from None
        except DeadKernelError:
            raise KernelDied(
                f"{notebook.name}: the kernel died, most often for want of memory; "
                f"the cells up to there are in {out}. Lower BATCH_SIZE or use a larger machine."
            ) from None


def _translated(error: Any, out: Path) -> Exception:
    """Bad input as the sentence that the cell raised; anything else with cell and traceback."""
    if error.ename == "InputError":
        return InputError(error.evalue)
    colours = re.compile("\x1b\\[[0-9;]*m")
    trace = colours.sub("", "\n".join(error.traceback)).strip().splitlines()[-12:]
    where = f"cell {error.exec_count} of {out} failed with {error.ename}: {error.evalue}"
    return CellFailed("\n".join([where, *(f"    {line}" for line in trace)]))


@contextmanager
def _kept(out: Path) -> Iterator[Path]:
    """Like `paths.atomic`, but what was written is kept when the block fails: a failed notebook
    is the best description of its failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(out.parent, stem=f"{out.stem}.")
    partial = out.with_name(f".{out.stem}.{os.getpid()}.partial{out.suffix}")
    try:
        yield partial
    finally:
        if partial.exists():
            os.replace(partial, out)
