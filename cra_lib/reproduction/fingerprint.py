"""What code a notebook depends on, found without running it, and one digest of all of it.

Two versions with the same digest compute the same: comments, formatting and a notebook's prose do
not count. Modules that only draw do not count for a stage that computes, so that changing a figure
does not retrain.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cra_lib.records import InputError

ASIDE = ("cra_lib.reporting", "cra_lib.reproduction")
"""Modules that only show what a stage has computed, or run it: the settings that they hand on are
compared by themselves."""


def notebook_code(notebook: Path) -> str:
    """The code cells of a notebook, one after the other."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{notebook}: not a notebook ({type(error).__name__}: {error!s:.80}); restore it."
        ) from None
    _parsed(code, str(notebook))
    return code


def import_closure(source: str, root: Path, leave_out: Iterable[str] = ()) -> list[Path]:
    """Files of ``cra_lib`` that running ``source`` may read, directly or through another.

    Imports inside functions count. A package's or module's own data files (lexicons, weights,
    templates) belong to it.

    Args:
        root: the folder that holds ``cra_lib``.
        leave_out: modules that are not followed, with everything below them.
    """
    omitted = tuple(leave_out)
    seen: set[str] = set()
    waiting = list(_imports(source, "", root))
    while waiting:
        module = waiting.pop()
        if module in seen or any(f"{module}.".startswith(f"{name}.") for name in omitted):
            continue
        seen.add(module)
        waiting.extend(_imports_of_file(_file(module, root), module, root))
    files = {path for module in seen for path in _files_of(module, root)}
    return sorted(files)


def digest(notebook: Path, root: Path, leave_out: Iterable[str] = ASIDE) -> str:
    """One hash of a notebook's code and of all code and data files that it may read."""
    return code_digest(notebook_code(notebook), root, leave_out)


def code_digest(source: str, root: Path, leave_out: Iterable[str] = ()) -> str:
    """One hash of a source and of all of ours that running it may read."""
    total = hashlib.sha256(_meaning(source).encode())
    for path in import_closure(source, root, leave_out):
        total.update(str(path.relative_to(root)).encode())
        total.update(_file_digest(path))
    return total.hexdigest()[:16]


@cache
def _file_digest(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".py":
        content = _meaning(_text(path), str(path)).encode()
    return hashlib.sha256(content).digest()


def _meaning(source: str, name: str = "the code") -> str:
    """The syntax tree as text: the same for two sources that differ in comments or layout."""
    return ast.dump(_parsed(source, name))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); restore it.") from None


def _parsed(source: str, name: str) -> ast.Module:
    """
    Raises:
        InputError: no Python, with file and line.
    """
    try:
        return ast.parse(source, name)
    except SyntaxError as error:
        raise InputError(f"{name}, line {error.lineno}: {error.msg}; correct it.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not Python ({error}); restore it.") from None


def _file(module: str, root: Path) -> Path | None:
    """The file that importing ``module`` runs; None where there is no such module."""
    path = root.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _files_of(module: str, root: Path) -> Iterable[Path]:
    """The module's file and its data: what lies beside ``__init__.py``, or in ``module/``."""
    file = _file(module, root)
    yield file
    folder = root.joinpath(*module.split("."))
    if module != "cra_lib" and folder.is_dir():
        yield from _data_files(folder)


def _data_files(folder: Path) -> Iterable[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            yield path


@cache
def _imports_of_file(path: Path, module: str, root: Path) -> tuple[str, ...]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_imports(_text(path), package, root, str(path)))


def _imports(source: str, package: str, root: Path, name: str = "the code") -> Iterable[str]:
    """Modules of ours that a source imports, with the packages that hold them."""
    names: set[str] = set()
    for node in ast.walk(_parsed(source, name)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    for imported in names:
        parts = imported.split(".")
        if parts[0] == "cra_lib":
            holders = (".".join(parts[: n + 1]) for n in range(len(parts)))
            yield from (holder for holder in holders if _file(holder, root) is not None)


def _base(node: ast.ImportFrom, package: str) -> str:
    """The absolute module that a ``from`` import names."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)
