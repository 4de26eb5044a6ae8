"""What counts as a change: code that a notebook reaches, not remarks, not unrelated modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cra_lib.reproduction import fingerprint
from cra_lib.reproduction.fingerprint import code_digest, digest, import_closure


@pytest.fixture
def root(tmp_path) -> Path:
    """A small cra_lib: a -> b -> c.data, figures, and one module that nothing uses."""
    files = {
        "__init__.py": "",
        "a.py": "from cra_lib import b\n",
        "b.py": "def f():\n    from cra_lib.c import data\n",
        "c/__init__.py": "from . import near\n",
        "c/near.py": "",
        "c/data.py": "from .near import x\n",
        "c/words.txt": "one",
        "c/folder/weights.bin": "w",
        "figures.py": "from cra_lib import unused\n",
        "unused.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "cra_lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(paths: list[Path], root: Path) -> set[str]:
    return {str(path.relative_to(root / "cra_lib")) for path in paths}


def test_closure_follows_imports_and_takes_data_files(root):
    found = names(import_closure("import cra_lib.a", root), root)
    assert found == {"__init__.py", "a.py", "b.py", "c/__init__.py", "c/near.py", "c/data.py",
                     "c/words.txt", "c/folder/weights.bin"}  # fmt: skip


def test_what_is_left_out_is_not_followed(root):
    source = "from cra_lib import figures, a"
    assert "unused.py" in names(import_closure(source, root), root)
    left = names(import_closure(source, root, ["cra_lib.figures"]), root)
    assert "figures.py" not in left and "unused.py" not in left and "a.py" in left


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("b.py", "# a remark\ndef f():\n\n    from cra_lib.c import data\n", False),
        ("b.py", "def f():\n    from cra_lib.c import data\n    return data\n", True),
        ("c/words.txt", "two", True),
        ("unused.py", "x = 1", False),
    ],
)
def test_the_digest_changes_with_what_is_computed(root, name, text, counts):
    before = code_digest("import cra_lib.a", root)
    (root / "cra_lib" / name).write_text(text)
    fingerprint._file_digest.cache_clear()
    fingerprint._imports_of_file.cache_clear()
    assert (code_digest("import cra_lib.a", root) != before) == counts


def test_prose_of_a_notebook_does_not_count(root):
    def write(prose: str, code: str) -> Path:
        cells = [{"cell_type": "markdown", "source": prose}, {"cell_type": "code", "source": code}]
        (root / "n.ipynb").write_text(json.dumps({"cells": cells}))
        return root / "n.ipynb"

    first = digest(write("one", "import cra_lib.a"), root)
    assert digest(write("two", "import cra_lib.a  # remark"), root) == first
    assert digest(write("two", "import cra_lib.unused"), root) != first
