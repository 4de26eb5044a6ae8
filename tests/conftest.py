"""What all tests share: no network, no windows, one thread, shapes checked at run time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from cra_lib.evaluator.packaged import packaged_source, unpack_dataset

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores must not fight
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent
LONG = ("test_end_to_end", "training/test_loop", "test_workflow", "test_nextgqa_notebooks")
"""Files that take longest; they start first, so that no worker is left alone with one."""

settings.register_profile("default", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

try:
    from jaxtyping import install_import_hook
except ImportError:  # the evaluator alone is installed
    pass
else:
    # Only while testing: every annotated shape in the model is checked at each call.
    install_import_hook("cra_lib.model", "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; all else keeps its order."""

    def place(item: pytest.Item) -> int:
        file = item.path.with_suffix("").as_posix()
        return next((n for n, name in enumerate(LONG) if file.endswith(name)), len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real annotation (`nextgqa/`, `nextoe/`): the packaged files as plain ones.

    ``CRA_SHARED_DATA`` names another folder of the same layout.
    """
    if folder := os.environ.get("CRA_SHARED_DATA"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("annotation")
    names = packaged_source("nextgqa")["files"]
    training = [name for name in names if name.startswith("nextoe/")]
    unpack_dataset("nextgqa", folder / "nextgqa", only=set(names) - set(training))
    unpack_dataset("nextgqa", folder, only=training)
    return folder
