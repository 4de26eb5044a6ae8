"""How claims come out: nothing is claimed from one seed, and words follow the intervals."""

from __future__ import annotations

import pandas as pd
import pytest

from cra_lib.reporting import tables


def change(variant: str, difference: float, low: float, high: float, seeds: int) -> dict:
    row = {"variant": variant, "metric": "Acc@QA", "difference": difference, "low": low}
    return row | {"high": high, "p_value": 0.5, "seeds": seeds}


def test_being_behind_turns_into_being_ahead_by_as_much():
    changes = pd.DataFrame([change("ng+", -10.0, -14.0, -6.0, 3)])
    [row] = tables.compared(changes, tables.BASELINES).to_dict("records")
    assert (row["ahead by"], row["from"], row["to"]) == (10.0, 6.0, 14.0)
    assert row["outcome"] == "supported" and row["against"] == "Temp[CLIP] NG+"


@pytest.mark.parametrize(
    ("low", "high", "seeds", "outcome"),
    [
        (-14.0, -6.0, 3, "supported"),
        (-4.0, 6.0, 3, "open"),
        (2.0, 6.0, 3, "refuted"),
        (-14.0, -6.0, 1, "one seed: no claim"),
    ],
)
def test_outcome_follows_interval_and_seeds(low, high, seeds, outcome):
    changes = pd.DataFrame([change("no-gsg", (low + high) / 2, low, high, seeds)])
    found = tables.compared(changes, tables.PARTS)
    assert list(found["outcome"]) == [outcome]
    said = tables.came_out(found, tables.PARTS)
    if seeds == 1:
        assert said.startswith("Not decided: one seed each") and "supported" not in said
    else:
        assert said == f"Of 1 comparisons: 1 {outcome}."


def test_what_was_not_run_is_said_with_the_command():
    none = tables.compared(pd.DataFrame([change("no-gsg", 0, 0, 0, 3)]), tables.BASELINES)
    said = tables.came_out(none, tables.BASELINES)
    assert said.startswith("Not tested") and "--variants cra,post-hoc,ng,ng+ " in said


def scores(falls: dict[str, list[float]]) -> pd.DataFrame:
    """Acc@QA of 80 on test_iid, and a fall to test_ood for each seed of each variant."""
    rows = [
        {"variant": variant, "seed": seed, "split": split, "metric": "Acc@QA", "value": value}
        for variant, amounts in falls.items()
        for seed, fall in enumerate(amounts)
        for split, value in (("test_iid", 80.0), ("test_ood", 80.0 - fall))
    ]
    return pd.DataFrame(rows)


def test_a_smaller_fall_is_measured_seed_by_seed():
    table = scores({"cra": [5.0, 6.0, 7.0], "no-causal": [15.0, 16.5, 16.5]})
    [row] = tables.smaller_fall(table, "cra").to_dict("records")
    assert row["ahead by"] == pytest.approx(10.0) and row["seeds"] == 3
    assert row["from"] > 0 and row["outcome"] == "supported"
    [row] = tables.smaller_fall(scores({"cra": [5.0], "no-causal": [15.0]}), "cra").to_dict(
        "records"
    )
    assert row["outcome"] == "one seed: no claim"
    assert tables.smaller_fall(scores({"cra": [5.0]}), "cra").empty


def test_losses_are_compared_or_the_command_is_named(made_up):
    histories = tables.read_histories(made_up.results)
    effects = tables.effect_of_losses(histories)
    assert list(effects.index) == ["cra", "no-causal"]
    assert "--variants cra,no-cma" in tables.say_losses(effects, "shapes")
    both = tables.effect_of_losses({"cra": histories["cra"], "no-cma": histories["no-causal"]})
    gain = both.loc["cra", "Acc@QA"] - both.loc["no-cma", "Acc@QA"]
    assert f"Acc@QA {gain:+.1f}" in tables.say_losses(both, "shapes")
    assert "one seed: no claim" in tables.say_losses(both, "shapes")
