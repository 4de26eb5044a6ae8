"""The literal back-door: strata speak in the answer loss of training, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from cra_lib.data.batches import load_split
from cra_lib.inference.predict import load_run
from cra_lib.model.text import load_tokenizer
from cra_lib.paths import RunFiles
from cra_lib.records import InputError
from cra_lib.training.loop import fit
from cra_lib.training.setup import new_model, open_fabric, strata_of, training_batches
from cra_lib.training.steps import Objective, step_losses

RULES = {"parser": "rules", "node_encoder": "hashed"}


def test_offsets_enter_the_answer_loss_alone(world):
    config = world.config("literal-back-door", causal=RULES)
    split = load_split(config, world.data, "train", load_tokenizer(config.model.text_encoder))
    batches = training_batches(config, world.data, split, open_fabric(config.train))
    batch = next(batches.epoch(0))
    assert batch.offsets.shape == batch.pair_rows.shape and np.isfinite(batch.offsets.numpy()).all()
    model, objective = new_model(config, world.data).eval(), Objective()
    with_strata = step_losses(model, batch, objective)
    without = step_losses(model, batch._replace(offsets=batch.offsets[:, :0]), objective)
    changed = {name for name in without if float(without[name]) != float(with_strata[name])}
    assert changed == ({"answer"} if batch.offsets.abs().max() > 0 else set())
    assert strata_of(config, world.data, split).offsets.shape[0] == len(split)


def test_it_trains_and_leaves_a_model_without_dictionaries(world, tmp_path):
    config = world.config("literal-back-door", causal=RULES, train={"epochs": 1})
    run = RunFiles(tmp_path / "run")
    history = fit(config, world.data, run, log=lambda line: None)
    assert np.isfinite(history[-1]["loss"])
    _, model = load_run(run)
    assert not any("graphs" in name or "centres" in name for name in model.state_dict())


def test_strata_with_a_frozen_backbone_are_refused(world):
    config = world.config("cra", train={"strata": True})
    frozen = config.model_copy(update={"model": config.model.model_copy(
        update={"family": "frozen-bilm"})})  # fmt: skip
    from cra_lib.training.setup import _economical

    with pytest.raises(InputError, match=r"train\.strata"):
        _economical(None, frozen.train)


def test_strata_need_the_dictionaries(own_world):
    own_world.data.language_confounders.unlink()
    config = own_world.config("literal-back-door", causal=RULES)
    split = load_split(config, own_world.data, "train", load_tokenizer(config.model.text_encoder))
    with pytest.raises(InputError, match="cra confounders sample"):
        strata_of(config, own_world.data, split)
