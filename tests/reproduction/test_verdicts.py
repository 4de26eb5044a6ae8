"""The rule itself: false alarms rarer than one run in a hundred, regressions caught as promised."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cra_lib.datasets import DATASETS
from cra_lib.paths import expected_json
from cra_lib.reproduction.check import compare_with
from cra_lib.reproduction.expected import read_expected
from cra_lib.reproduction.obtained import Run
from cra_lib.reproduction.verdicts import (
    FALSE_ALARM,
    alarm_rate,
    critical_value,
    effective_count,
    prediction_interval,
    smallest_drop,
    spread,
)

QUESTIONS = 358


def recorded_like(seeds: int = 10, models: int = 5, seed: int = 0) -> np.ndarray:
    """[n, 12 * models]: cells that share a model's luck, some near the ceiling, some noisy."""
    generator = np.random.default_rng(seed)
    columns = []
    for model in range(models):
        luck = generator.normal(size=(seeds, 1))
        level = (92, 40, 88, 38, 41)[model % 5] - np.linspace(0, 20, 12)
        sd = (1.5, 5.0, 2.0, 2.0, 3.0)[model % 5]
        noise = generator.normal(size=(seeds, 12))
        columns.append(level + sd * (0.8 * luck + 0.6 * noise))
    return np.clip(np.concatenate(columns, axis=1), 0, 100)


def recorded_table() -> np.ndarray | None:
    """[n, C] values of the recorded seeds on one instruction set; None before three seeds."""
    expected = read_expected(expected_json("shapes"), "shapes")
    flats = [{(n, s): v for n, s, v in expected.flat(key)} for key in expected.cells]
    runs = sorted(set.intersection(*map(set, flats)))
    runs = [run for run in runs if run[0] == runs[0][0]]
    return np.array([[flat[run] for flat in flats] for run in runs]) if len(runs) > 2 else None


def tables() -> list[np.ndarray]:
    """Cells like recorded ones, and the recorded ones as soon as there are seeds enough."""
    recorded = recorded_table()
    return [recorded_like()] + ([] if recorded is None else [recorded])


def test_the_interval_is_the_textbook_one():
    known = spread([80.0, 82.0, 84.0], 3)
    low, high = prediction_interval(known, runs=2, cells=1, false_alarm=0.05)
    reach = stats.t.ppf(0.975, 2) * 2.0 * np.sqrt(1 / 2 + 1 / 3)
    assert (low, high) == pytest.approx((82 - reach, 82 + reach))


def test_the_interval_ends_at_a_hundred_and_is_never_narrower_than_a_question():
    assert prediction_interval(spread([99.0, 97.0], 2), 1, 60)[1] == 100
    low, high = prediction_interval(spread([50.0] * 10, 10, QUESTIONS), 1, 60)
    assert high - low > 2 * 100 / QUESTIONS, "equal seeds do not make one question an alarm"


@pytest.mark.parametrize("runs", [1, 3])
def test_false_alarms_over_the_whole_table_are_rarer_than_one_in_a_hundred(runs):
    for table in tables():
        assert alarm_rate(table, QUESTIONS, runs, samples=3000) < FALSE_ALARM


def test_the_smallest_drop_is_found_as_often_as_promised():
    table = recorded_like()
    known = spread(table[:, 0], len(table), QUESTIONS)
    drop = smallest_drop(known, runs=1, cells=table.shape[1])
    generator = np.random.default_rng(1)
    old = generator.normal(80, known.sd, (20000, len(table)))
    new = generator.normal(80 - drop, known.sd, 20000)
    standard = old.std(axis=1, ddof=1) * np.sqrt(1 + 1 / len(table))
    found = old.mean(axis=1) - new > critical_value(len(table), table.shape[1]) * standard
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_a_planted_regression_is_caught():
    """Forty points lost by one of five models, as softmax smoothing costs: nearly always found."""
    table = recorded_like()
    shift = np.zeros(table.shape[1])
    shift[:12] = -40.0
    assert alarm_rate(table, QUESTIONS, shift=shift, samples=1000) > 0.99
    shift[:12] = -smallest_drop(spread(table[:, 0], 10, QUESTIONS), 1, table.shape[1])
    assert alarm_rate(table, QUESTIONS, shift=shift, samples=1000) > 0.8


def test_more_seeds_find_smaller_drops():
    known = spread([80.0, 82.0, 84.0, 81.0, 83.0], 5, QUESTIONS)
    drops = [smallest_drop(known, runs, 60) for runs in (1, 3, 10)]
    assert drops == sorted(drops, reverse=True)


def test_one_seed_on_two_instruction_sets_counts_for_what_it_adds():
    generator = np.random.default_rng(2)
    seeds = [*range(10), *range(10)]
    luck = generator.normal(size=(10, 6))
    same = np.concatenate([luck, luck])
    fresh = generator.normal(size=(20, 6))
    assert effective_count(seeds, same) == pytest.approx(10)
    assert effective_count(seeds, fresh) > 15
    assert effective_count(list(range(20)), fresh) == 20
    assert effective_count([1], fresh[:1]) == 1


def test_recorded_seeds_left_out_one_at_a_time_pass(tmp_path):
    for table in tables():
        for left in range(len(table)):
            rest = np.delete(table, left, axis=0)
            for cell, value in enumerate(table[left]):
                known = spread(rest[:, cell], len(rest), QUESTIONS)
                low, high = prediction_interval(known, 1, table.shape[1])
                assert low - 1e-6 <= value <= high + 1e-6, f"seed {left}, cell {cell}"


def test_the_recorded_runs_agree_with_themselves():
    """What is in the file is within its own intervals: as it will be for the same runs again."""
    expected = read_expected(expected_json("shapes"), "shapes")
    runs = []
    for variant, split, rule in {(k.variant, k.split, k.rule) for k in expected.cells}:
        keys = [k for k in expected.cells if (k.variant, k.split, k.rule) == (variant, split, rule)]
        for name, seed, _ in expected.flat(keys[0]):
            values = {key.metric: expected.cells[key][name][seed] for key in keys}
            runs.append(Run(variant, seed, split, rule, values, 0, name, _NoFiles()))
    assert {run.split for run in runs} <= set(DATASETS["shapes"].splits)
    assert {cell.verdict for cell in compare_with(expected, runs)} <= {"within", "-"}


class _NoFiles:
    """A run whose predictions are not at hand."""

    def predictions(self, split):
        return expected_json("no such file")
