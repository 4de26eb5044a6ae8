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
        return SimpleNamespace(disable=False) if not options else iter(items)

    monkeypatch.setattr(auto, "tqdm", bar)
    return asked


def in_jupyter(monkeypatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_a_log_has_no_bar(bars):
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step")) == [0, 1, 2]
    assert not [options for options in bars if options]


def test_jupyter_has_one(bars, monkeypatch):
    in_jupyter(monkeypatch)
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step")) == [0, 1, 2]
    [options] = [options for options in bars if options]
    assert options["desc"] == "epoch 1" and options["total"] == 3


def test_other_processes_show_none(bars, monkeypatch):
    in_jupyter(monkeypatch)
    assert list(progress.with_bar(range(3), 3, "epoch 1", "step", shown=False)) == [0, 1, 2]
    assert not [options for options in bars if options]
