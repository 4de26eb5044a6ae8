"""The learning-rate schedule, against the recorded one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.training.schedule import learning_rate_factor

RECORDED = json.loads((Path(__file__).parent.parent / "golden" / "07_lr_schedule.json").read_text())


@pytest.mark.parametrize("name", ["warmup_30x10", "warmup_5x3"])
def test_as_recorded(name):
    case = RECORDED[name]
    total = case["epochs"] * case["steps_per_epoch"]
    rates = [
        case["base_lr"]
        * learning_rate_factor(step, warmup_steps=case["steps_per_epoch"], total_steps=total)
        for step in range(total + 1)
    ]
    assert rates == pytest.approx(case["lr_used_at_step"], rel=1e-9)


@given(warmup=st.integers(0, 50), more=st.integers(0, 500), step=st.integers(0, 600))
def test_stays_between_zero_and_the_peak(warmup, more, step):
    factor = learning_rate_factor(step, warmup_steps=warmup, total_steps=warmup + more)
    assert 0 <= factor <= 1
