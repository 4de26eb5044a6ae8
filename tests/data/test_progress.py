"""Bars of progress move where somebody watches, and leave logs alone."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from tqdm import auto

from cra_lib.data import progress


@pytest.fixture
def bars(monkeypatch) -> list[dict]:
    """What was asked of tqdm."""
    asked: list[dict] = []

    def bar(items, **options):
        asked.append(options)
        return iter(items)

    monkeypatch.setattr(auto, "tqdm", bar)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    return asked


def in_jupyter(monkeypatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_a_log_has_no_bar(bars):
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step")) == [0, 1, 2]
    assert not bars


def test_jupyter_has_one(bars, monkeypatch):
    in_jupyter(monkeypatch)
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step")) == [0, 1, 2]
    [options] = bars
    assert options["desc"] == "epoch 1" and options["total"] == 3


def test_other_processes_show_none(bars, monkeypatch):
    in_jupyter(monkeypatch)
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step", shown=False)) == [0, 1, 2]
    assert not bars


def test_an_executed_notebook_has_none_and_nothing_of_one(bars, monkeypatch):
    """tqdm's own bar for notebooks would show itself in the copy, whatever the variable says."""
    in_jupyter(monkeypatch)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step")) == [0, 1, 2]
    assert not progress.is_watched() and not bars
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert progress.is_watched()
