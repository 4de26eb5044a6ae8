"""`cra confounders`: parse, sample, compare."""

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.causal.comparison import compare_dictionaries
from cra_lib.cli import app
from cra_lib.records import InputError


def test_parse_shows_the_parts_of_a_question():
    result = CliRunner().invoke(app, ["confounders", "parse", "why did the girl clap her hands"])
    assert result.exit_code == 0
    assert "subject: girl" in result.output
    assert "verbs: clap" in result.output
    assert "objects: hands" in result.output


def test_unknown_part_is_refused():
    result = CliRunner().invoke(app, ["confounders", "sample", "shapes", "--only", "sound"])
    assert isinstance(result.exception, InputError)
    assert "sound" in str(result.exception)


def test_comparison_finds_itself():
    centres = np.random.default_rng(0).standard_normal((5, 8, 4)).astype(np.float32)
    lines = compare_dictionaries(centres, 2 * centres)
    assert any("nearest of the release: 1 / 1 / 1" in line for line in lines)


def test_comparison_counts_undefined_centres():
    theirs = np.ones((4, 3), dtype=np.float32)
    theirs[2] = np.nan
    assert any("1 centres not finite" in line for line in compare_dictionaries(theirs, theirs))


def test_different_widths_are_said():
    lines = compare_dictionaries(np.ones((4, 768)), np.ones((4, 2048)))
    assert "different encoders" in lines[-1]


def test_different_kinds_are_refused():
    with pytest.raises(InputError, match="different kinds"):
        compare_dictionaries(np.ones((4, 8, 3)), np.ones((4, 3)))
