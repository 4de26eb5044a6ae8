"""Whole runs: they learn, resume bit for bit, stop when told to, and refuse bad settings."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from cra_lib.config.files import load_config, save_config
from cra_lib.data.confounders import write_confounders
from cra_lib.paths import RunFiles
from cra_lib.records import InputError
from cra_lib.training import STOPPED, fit, loop, setup
from cra_lib.training.feed import in_background
from cra_lib.training.log import HISTORY_COLUMNS

GOLDEN = Path(__file__).parent.parent / "golden"


def _quiet(line: str) -> None:
    """Swallow a line of the log."""


def _weights(run: RunFiles) -> dict[str, torch.Tensor]:
    return load_file(run.root / "last" / "model.safetensors")


def _equal(first: RunFiles, second: RunFiles) -> bool:
    one, other = _weights(first), _weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _at_step(monkeypatch, step: int, act) -> None:
    """Do something when optimizer step ``step`` begins."""
    inner = loop.seed_step

    def seed_step(seed: int, current: int, rank: int = 0) -> None:
        if current == step:
            act()
        inner(seed, current, rank)

    monkeypatch.setattr(loop, "seed_step", seed_step)


def test_every_step_has_the_recorded_learning_rate(world, tmp_path):
    """Not only the schedule's function: the rate that the optimizer holds when it takes a step."""
    recorded = json.loads((GOLDEN / "07_lr_schedule.json").read_text())["warmup_5x3"]
    rates = []
    seen = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    train = {"epochs": recorded["epochs"], "batch_size": 16, "learning_rate": recorded["base_lr"]}
    fit(world.config(train=train), world.data, RunFiles(tmp_path), log=_quiet)
    seen.remove()
    steps = recorded["epochs"] * recorded["steps_per_epoch"]
    assert rates == pytest.approx(recorded["lr_used_at_step"][:steps], rel=1e-9)


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory) -> RunFiles:
    """A run of three epochs that nothing happened to."""
    run = RunFiles(tmp_path_factory.mktemp("undisturbed"))
    fit(world.config(train={"epochs": 3}), world.data, run, log=_quiet)
    return run


def test_a_run_leaves_what_it_promises(undisturbed, world):
    rows = list(csv.DictReader(undisturbed.history.open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert tuple(rows[0]) == HISTORY_COLUMNS
    assert all(float(row["loss"]) > 0 and float(row["sigma"]) > 0 for row in rows)
    runtime = json.loads(undisturbed.runtime.read_text())
    assert runtime["steps"] == 18 and runtime["epochs"] == 3
    assert load_config(undisturbed.config) == world.config(train={"epochs": 3})
    assert undisturbed.weights.exists() and not undisturbed.resume.exists()


def test_the_loss_falls(world, tmp_path):
    config = world.config(train={"epochs": 5, "learning_rate": 5e-3})
    history = fit(config, world.data, RunFiles(tmp_path), log=_quiet)
    assert history[-1]["loss"] < 0.97 * history[0]["loss"]


def test_the_same_seed_gives_the_same_weights(undisturbed, world, tmp_path):
    again, other = RunFiles(tmp_path / "again"), RunFiles(tmp_path / "other")
    fit(world.config(train={"epochs": 3}), world.data, again, log=_quiet)
    fit(world.config(seed=8, train={"epochs": 3}), world.data, other, log=_quiet)
    assert _equal(undisturbed, again) and not _equal(undisturbed, other)


@pytest.mark.parametrize("step", [2, 9])
def test_sigterm_saves_and_the_rest_is_the_same(undisturbed, world, tmp_path, monkeypatch, step):
    config, run = world.config(train={"epochs": 3}), RunFiles(tmp_path)
    with monkeypatch.context() as patch:
        _at_step(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as stopped:
            fit(config, world.data, run, log=_quiet)
    assert stopped.value.code == STOPPED and run.resume.exists()
    fit(config, world.data, run, log=_quiet)
    assert _equal(undisturbed, run)
    assert json.loads(run.runtime.read_text())["restarts"] == 1
    kept = ("epoch", "loss", "loss_answer", "grad_norm", "val_Acc@QA")
    for mine, theirs in zip(
        csv.DictReader(run.history.open()), csv.DictReader(undisturbed.history.open()), strict=True
    ):
        assert [mine[name] for name in kept] == [theirs[name] for name in kept]


KILLED = """
import os, signal, sys
from pathlib import Path
from cra_lib.config.files import load_config
from cra_lib.paths import DataFiles, RunFiles
from cra_lib.training import fit, loop

inner = loop.seed_step
def seed_step(seed, step, rank=0):
    if step == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    inner(seed, step, rank)
loop.seed_step = seed_step
fit(load_config(Path(sys.argv[1])), DataFiles(Path(sys.argv[2])), RunFiles(Path(sys.argv[3])))
"""


def test_a_killed_run_ends_with_the_same_weights(undisturbed, world, tmp_path):
    config, run = world.config(train={"epochs": 3}), RunFiles(tmp_path / "run")
    save_config(config, tmp_path / "config.yaml")
    paths = [tmp_path / "config.yaml", world.data.root, run.root]
    child = subprocess.run([sys.executable, "-c", KILLED, *map(str, paths)], capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert run.resume.exists() and not run.weights.exists()
    fit(config, world.data, run, log=_quiet)
    assert _equal(undisturbed, run)


def test_accumulated_batches_are_one_large_batch(world, tmp_path):
    settings = {"epochs": 1, "alignment": "none", "warmup_epochs": 0}
    model = {"dropout": 0.0, "position_dropout": 0.0}
    rows = []
    for size, accumulate in ((8, 1), (4, 2)):
        train = {**settings, "batch_size": size, "accumulate": accumulate}
        run = RunFiles(tmp_path / str(size))
        rows += fit(world.config(model=model, train=train), world.data, run, log=_quiet)
    for name in ("loss", "loss_question", "grad_norm", "step"):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_its_batch(world, tmp_path, monkeypatch):
    inner = loop.weighted
    monkeypatch.setattr(loop, "weighted", lambda *arguments: inner(*arguments) * float("nan"))
    run = RunFiles(tmp_path)
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 1 \(questions train") as error:
        fit(world.config(), world.data, run, log=_quiet)
    saved = torch.load(run.root / "failed_batch.pt", weights_only=True)
    assert len(saved["keys"]) == 8 and saved["keys"][0] in str(error.value)
    assert saved["batch"]["features"].shape == (8, 8, 16)


def test_patience_and_step_limit_end_a_run(world, tmp_path, monkeypatch):
    values = iter([50.0, 40.0, 45.0, 60.0])
    monkeypatch.setattr(
        loop, "_validate", lambda engine: {f"val_{n}": next(values) for n in ("Acc@QA",)}
    )
    run = RunFiles(tmp_path / "patient")
    history = fit(world.config(train={"epochs": 4, "patience": 2}), world.data, run, log=_quiet)
    assert len(history) == 3 and json.loads(run.runtime.read_text())["best_epoch"] == 1
    monkeypatch.undo()
    short = fit(world.config(train={"max_steps": 4}), world.data, RunFiles(tmp_path), log=_quiet)
    assert [row["step"] for row in short] == [4]


def test_ties_go_to_the_later_epoch(world, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_validate", lambda engine: {"val_Acc@QA": 50.0})
    run = RunFiles(tmp_path)
    fit(world.config(), world.data, run, log=_quiet)
    assert json.loads(run.runtime.read_text())["best_epoch"] == 2


def test_without_picking_the_last_epoch_is_kept(world, tmp_path, monkeypatch):
    values = iter([50.0, 60.0, 40.0])
    monkeypatch.setattr(loop, "_validate", lambda engine: {"val_Acc@QA": next(values)})
    run = RunFiles(tmp_path)
    settings = {"epochs": 3, "patience": 1, "select_by": "last"}
    history = fit(world.config(train=settings), world.data, run, log=_quiet)
    runtime = json.loads(run.runtime.read_text())
    assert len(history) == 3
    assert runtime["best_epoch"] == 3 and runtime["best_value"] == 40.0
    assert run.weights.read_bytes() == (run.root / "last" / run.weights.name).read_bytes()


def test_one_line_an_epoch_and_events(world, tmp_path):
    lines: list[str] = []
    run = RunFiles(tmp_path)
    fit(world.config(train={"tensorboard": True}), world.data, run, log=lines.append)
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert list((run.root / "tensorboard").glob("events*"))


def test_settings_of_another_run_are_refused(world, tmp_path, monkeypatch):
    run = RunFiles(tmp_path)
    with monkeypatch.context() as patch:
        _at_step(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit):
            fit(world.config(), world.data, run, log=_quiet)
    with pytest.raises(InputError, match="variant = 'cra', not 'no-gsg'.*--fresh"):
        fit(world.config("no-gsg"), world.data, run, log=_quiet)
    (run.resume / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        fit(world.config(), world.data, run, log=_quiet)
    assert len(fit(world.config(), world.data, run, fresh=True, log=_quiet)) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "train.batch_size.*greater than or equal to 1"),
        ({"precision": "8-bit"}, "train.precision.*32-true"),
        ({"devices": 512}, "train.devices = 512, but this machine has"),
        ({"accelerator": "abacus"}, "train.accelerator should be auto, cpu or cuda"),
    ],
)
def test_wrong_settings_are_one_sentence(world, tmp_path, settings, message):
    with pytest.raises(InputError, match=message) as error:
        fit(world.config(train=settings), world.data, RunFiles(tmp_path), log=_quiet)
    assert "\n" not in str(error.value)


def test_one_width_of_the_mask_for_the_interval_and_the_model(world):
    model = setup.new_model(world.config("ng+", span={"sigma": 5.0}), world.data)
    assert model.sigma == 5.0


@pytest.mark.parametrize("content", [b"", b"\x08" + 15 * b"\0" + b"{}", b"no tensors here"])
@pytest.mark.parametrize("kind", ["visual", "language"])
def test_damaged_confounders_are_one_sentence(own_world, content, kind):
    path = getattr(own_world.data, f"{kind}_confounders")
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{kind}.safetensors: .*sample it again") as error:
        setup.new_model(own_world.config(), own_world.data)
    assert "\n" not in str(error.value)


def test_confounders_of_the_other_kind_are_refused(own_world):
    data = own_world.data
    data.visual_confounders.replace(data.language_confounders)
    shutil.copy(data.language_confounders, data.visual_confounders)
    with pytest.raises(InputError, match=r"language.safetensors: expected finite .*\[K, 8, N\]"):
        setup.new_model(own_world.config(), data)


def test_a_dictionary_of_another_size_is_refused_until_there_is_one(own_world):
    """A run that says K = 6 in its name has six confounders."""
    config = own_world.config(causal={"num_confounders": 6})
    with pytest.raises(InputError, match="visual.safetensors holds 4 .* sample nextgqa --num-"):
        setup.new_model(config, own_world.data)
    usual = own_world.data.visual_confounders
    for kind, shape in (("visual", (6, 16)), ("language", (6, 8, 6))):
        centres = np.random.default_rng(0).normal(size=shape)
        write_confounders(own_world.data.own_confounders(kind, 6), centres)
    weights = setup.new_model(config, own_world.data).state_dict().values()
    assert any(weight.shape == (6, 16) for weight in weights)
    assert own_world.data.confounders("visual", 4) == usual, "the profile's is not touched"


def test_settings_of_an_older_run_are_read(tmp_path, world):
    path = tmp_path / "config.yaml"
    save_config(world.config(), path)
    path.write_text(path.read_text().replace("data:\n", "data:\n  num_frames: 32\n"))
    assert load_config(path) == world.config()


def test_emulated_bf16_is_warned_about(monkeypatch, world):
    monkeypatch.setattr(setup, "multiplies_bf16", lambda: False)
    with pytest.warns(UserWarning, match="no bf16 instructions"):
        setup.open_fabric(world.config(train={"precision": "bf16-mixed"}).train)


def test_missing_inputs_are_named(own_world, tmp_path):
    own_world.data.visual_confounders.unlink()
    with pytest.raises(InputError, match=r"Visual confounders not found .*cra confounders sample"):
        fit(own_world.config(), own_world.data, RunFiles(tmp_path), log=_quiet)
    own_world.data.segments("val").unlink()
    with pytest.raises(InputError, match="gsub_val.json"):
        fit(own_world.config("no-causal"), own_world.data, RunFiles(tmp_path), log=_quiet)


def test_background_work_passes_errors_on():
    def items():
        yield 1
        raise ValueError("broken")

    background = in_background(items())
    assert next(background) == 1
    with pytest.raises(ValueError, match="broken"):
        next(background)
    assert list(in_background(range(10))) == list(range(10))
