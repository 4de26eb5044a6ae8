"""The row by chance: seeded, on any annotation, and as bad as it should be."""

from __future__ import annotations

import pytest

from cra_lib.config import run_config
from cra_lib.evaluator.packaged import packaged_dataset
from cra_lib.inference.chance import open_chance_run, predict_by_chance
from cra_lib.inference.predict import predict_run, score_run
from cra_lib.paths import DataFiles, RunFiles
from cra_lib.records import InputError


def test_the_row_is_at_chance_on_the_real_benchmark(tmp_path):
    config, data = run_config("nextgqa", "random"), packaged_dataset("nextgqa")
    run = RunFiles(tmp_path / "seed2024")
    open_chance_run(config, run)
    assert len(predict_run(run, data, "val")) == 3358
    scores = score_run(run, data, "val", bootstrap=20)["rules"]["post-hoc"]
    assert scores["Acc@QA"] == pytest.approx(20, abs=3)
    assert scores["Acc@GQA"] < 7 and scores["questions"] == 3358


def test_seed_and_split_fix_the_row():
    data = packaged_dataset("nextgqa")
    first, again = (predict_by_chance(run_config("nextgqa", "random", 1), data, "val")
                    for _ in range(2))  # fmt: skip
    other = predict_by_chance(run_config("nextgqa", "random", 2), data, "val")
    assert first == again != other


def test_it_is_nothing_to_train(tmp_path):
    from cra_lib.model import build_model
    from cra_lib.training import fit

    config = run_config("nextgqa", "random")
    with pytest.raises(InputError, match="nothing to train"):
        fit(config, DataFiles(tmp_path), RunFiles(tmp_path / "run"))
    with pytest.raises(InputError, match="no model"):
        build_model(config.model)
