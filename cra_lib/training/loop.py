"""Epochs and runs: `train_one_epoch` is the loop, `fit` everything around it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cra_lib.config import RunConfig
from cra_lib.config.files import save_config
from cra_lib.data.batches import load_split
from cra_lib.evaluator.annotations import read_truths
from cra_lib.evaluator.metrics import HEADLINE, score
from cra_lib.inference.fabric import Fabric
from cra_lib.inference.leave import leave_known
from cra_lib.inference.predict import load_evaluation, predict
from cra_lib.model.losses import loss_weights, weighted
from cra_lib.model.text import tokenizer_of
from cra_lib.paths import DataFiles, RunFiles, atomic
from cra_lib.records import InputError
from cra_lib.training.feed import LossWatch, NonFiniteLoss, diverged, groups, loaded
from cra_lib.training.frozen_steps import frozen_step_losses
from cra_lib.training.log import (
    Meter,
    epoch_line,
    event_writer,
    peak_memory_gb,
    write_history,
    write_runtime,
)
from cra_lib.training.schedule import learning_rate_factor
from cra_lib.training.setup import (
    Engine,
    arithmetic,
    new_model,
    new_optimizer,
    open_fabric,
    training_batches,
)
from cra_lib.training.state import (
    STOPPED,
    Progress,
    best_folder,
    finish,
    load_state,
    restoring,
    save_state,
    seed_step,
    stop_requests,
)
from cra_lib.training.steps import Objective, TrainingStep, step_losses


def train_one_epoch(engine: Engine, progress: Progress, meter: Meter) -> bool:
    """Train from where ``progress`` stands to the end of its epoch; False if it was stopped.

    One round of the loop is one optimizer step. Nothing in it waits for the device, but for a
    look at the losses now and then.
    """
    train, fabric = engine.config.train, engine.fabric
    weights, watch = loss_weights(train.alignment_weight), LossWatch(fabric.device)
    engine.step.train()
    for group in groups(loaded(engine, progress), train.accumulate):
        seed_step(engine.config.seed, progress.step, fabric.global_rank)
        _set_learning_rate(engine, progress.step)
        questions = sum(batch.num_questions for batch in group)
        found = []
        for place, batch in enumerate(group):
            with fabric.no_backward_sync(engine.step, enabled=place + 1 < len(group)):
                losses = engine.step(batch)
                if _stop_at_once(engine):
                    return False
                loss = weighted(losses, weights)
                fabric.backward(loss * (batch.num_questions / questions))
            found.append((batch.num_questions, loss, losses))
            watch.look(progress.batches + place, loss)
        if _stop_at_once(engine):
            return False
        norm = fabric.clip_gradients(
            engine.step, engine.optimizer, max_norm=train.clip_norm, error_if_nonfinite=False
        )
        engine.take_step.step()
        engine.optimizer.zero_grad(set_to_none=True)
        for batch_found in found:
            meter.add_batch(*batch_found)
        meter.add_step(norm)
        progress.step += 1
        progress.batches += len(group)
        if _stop_asked(engine, progress.step):
            return False
        if progress.step == train.max_steps:
            break
    watch.check()
    return True


def _set_learning_rate(engine: Engine, step: int) -> None:
    train, per_epoch = engine.config.train, engine.steps_per_epoch
    factor = learning_rate_factor(
        step,
        warmup_steps=round(train.warmup_epochs * per_epoch),
        total_steps=train.epochs * per_epoch,
        final_factor=train.final_learning_rate_factor,
        shape=train.schedule,
    )
    for group in engine.optimizer.param_groups:
        group["lr"] = train.learning_rate * factor * group["factor"]


def _stop_at_once(engine: Engine) -> bool:
    """Whether SIGTERM came to a single process, which gives up the running step for later."""
    return engine.fabric.world_size == 1 and engine.stop.is_set()


def _stop_asked(engine: Engine, step: int) -> bool:
    """Whether SIGTERM came; several processes agree on it every twenty steps."""
    if engine.fabric.world_size == 1:
        return engine.stop.is_set()
    if step % 20:
        return False
    asked = torch.tensor(float(engine.stop.is_set()), device=engine.fabric.device)
    return bool(engine.fabric.all_reduce(asked, reduce_op="sum") > 0)


def say(line: str) -> None:
    """Print a line at once, also into a file or a pipe."""
    print(line, flush=True)


def fit(
    config: RunConfig,
    data: DataFiles,
    run: RunFiles,
    *,
    fresh: bool = False,
    log: Callable[[str], None] = say,
) -> list[dict[str, Any]]:
    """Train a model, or go on with a training that was killed, and leave it in ``run``.

    Leaves config.yaml, model.safetensors (the best epoch), last/ (the last), history.csv and
    runtime.json.

    Args:
        fresh: forget an unfinished run instead of going on with it.
        log: receives one line an epoch.

    Returns:
        The history, one row an epoch; keys are `training_log.HISTORY_COLUMNS`.

    Raises:
        InputError: settings or data that do not fit.
        FloatingPointError: the loss became NaN or infinite; the batch is saved beside the run.
        SystemExit: with status 143, after SIGTERM and a checkpoint.
    """
    if not config.model.is_trained:
        raise InputError("The variant 'random' draws its answers; there is nothing to train.")
    started = time.perf_counter()
    with arithmetic(config.train), stop_requests() as stop:
        fabric = open_fabric(config.train)
        if fresh and fabric.is_global_zero:
            shutil.rmtree(run.resume, ignore_errors=True)
        fabric.barrier()
        state = load_state(run, config)
        engine = _set_up(config, data, fabric, stop, run, state)
        progress = Progress(**state["progress"]) if state else Progress()
        progress.restarts += state is not None
        if fabric.is_global_zero:
            run.root.mkdir(parents=True, exist_ok=True)
            with atomic(run.config) as partial:
                save_config(config, partial)
        speak = log if fabric.is_global_zero else lambda line: None
        _train(engine, run, progress, speak)
        if fabric.is_global_zero:
            _leave(engine, data, run, progress, time.perf_counter() - started)
        fabric.barrier()
    return progress.history


def _set_up(
    config: RunConfig,
    data: DataFiles,
    fabric: Fabric,
    stop: threading.Event,
    run: RunFiles,
    state: dict[str, Any] | None,
) -> Engine:
    """Data, model and optimizer, as they were when ``state`` was saved."""
    tokenizer = tokenizer_of(config.model)
    batches = training_batches(config, data, load_split(config, data, "train", tokenizer), fabric)
    validation = load_evaluation(config, data, "val", tokenizer)
    if validation.truths is None:
        read_truths(data, "val")
    model = new_model(config, data)
    if state:
        with restoring(run):
            model.load_trained_state(state["model"])
    optimizer = new_optimizer(model, config.train)
    objective = Objective(
        config.train.question_stage, config.train.alignment, config.train.temperature
    )
    losses = frozen_step_losses if config.model.is_frozen else step_losses
    step, take_step = fabric.setup(TrainingStep(model, objective, losses), optimizer)
    if state:
        with restoring(run):
            optimizer.load_state_dict(state["optimizer"])
    return Engine(config, fabric, model, step, optimizer, take_step, batches, validation, stop)


def _train(engine: Engine, run: RunFiles, progress: Progress, log: Callable[[str], None]) -> None:
    """Epochs until the last one, the patience or the step limit is used up."""
    train, is_first = engine.config.train, engine.fabric.is_global_zero
    write_events = event_writer(run, train.tensorboard and is_first)
    while (
        progress.epoch < train.epochs
        and progress.is_patient(train.patience)
        and (train.max_steps is None or progress.step < train.max_steps)
    ):
        row = _one_epoch(engine, run, progress)
        progress.history.append(row)
        _keep(engine, run, progress, row)
        if is_first:
            write_history(run, progress.history)
            write_events(row)
        log(epoch_line(row, train.epochs))


def _one_epoch(engine: Engine, run: RunFiles, progress: Progress) -> dict[str, Any]:
    """Train and validate one epoch; its row of the history.

    Raises:
        SystemExit: SIGTERM came, and the run was saved where it stands.
    """
    fabric = engine.fabric
    meter = Meter(fabric.device, progress.totals)
    before, started = progress.seconds, time.perf_counter()
    try:
        finished = train_one_epoch(engine, progress, meter)
    except NonFiniteLoss as error:
        raise diverged(engine, run, progress, error.args[0]) from None
    if fabric.world_size > 1:
        meter.average(fabric)
    means = meter.means(engine.step.objective.terms)
    questions = meter.totals()[0]
    progress.seconds = before + time.perf_counter() - started
    if not finished:
        progress.totals = meter.totals()
        if fabric.is_global_zero:
            save_state(run, engine.config, engine.model, engine.optimizer, progress)
        raise SystemExit(STOPPED)
    seconds = progress.seconds
    progress.epoch, progress.batches, progress.seconds, progress.totals = (
        progress.epoch + 1,
        0,
        0.0,
        [],
    )
    sigma = getattr(getattr(engine.model, "smoother", None), "sigma", None)
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "learning_rate": engine.optimizer.param_groups[0]["lr"],
        **means,
        "sigma": None if sigma is None else float(sigma.detach()),
        "samples_per_second": questions / max(seconds, 1e-9),
        "memory_gb": peak_memory_gb(fabric.device),
        "seconds": seconds,
        **_validate(engine),
    }


def _validate(engine: Engine) -> dict[str, float]:
    """Validation scores; the first process computes them for all."""
    scores: dict[str, float] = {}
    if engine.fabric.is_global_zero:
        predictions = predict(
            engine.model, engine.validation, engine.config, autocast=engine.fabric.autocast
        )
        found = score(predictions, engine.validation.truths, engine.config.span.rule)
        scores = {f"val_{name}": float(found[name]) for name in HEADLINE}
    return engine.fabric.broadcast(scores)


def _keep(engine: Engine, run: RunFiles, progress: Progress, row: dict[str, Any]) -> None:
    """Write the checkpoint, and first the weights if this epoch is the one to keep so far."""
    is_first, select_by = engine.fabric.is_global_zero, engine.config.train.select_by
    takes_last = select_by == "last"
    value = row[f"val_{HEADLINE[0] if takes_last else select_by}"]
    better = progress.best is None or value > progress.best
    tied = value == progress.best and engine.config.train.ties == "later"
    if takes_last or better or tied:
        progress.best, progress.best_epoch = value, progress.epoch
        if is_first:
            _save_model(engine.model, best_folder(run, progress.epoch))
    if is_first:
        save_state(run, engine.config, engine.model, engine.optimizer, progress)


def _save_model(model: nn.Module, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with atomic(folder) as partial:
        model.save_pretrained(partial)


def _leave(
    engine: Engine, data: DataFiles, run: RunFiles, progress: Progress, seconds: float
) -> None:
    """Put the products of a finished run in their places."""
    _save_model(engine.model, run.root / "last")
    trained = sum(row["seconds"] for row in progress.history)
    write_runtime(
        run.runtime,
        engine.config,
        engine.fabric.device,
        seconds=round(seconds, 2),
        training_seconds=round(trained, 2),
        loading_share=round(progress.loading / max(trained, 1e-9), 4),
        epochs=progress.epoch,
        steps=progress.step,
        best_epoch=progress.best_epoch,
        best_value=progress.best,
        restarts=progress.restarts,
        parameters=sum(p.numel() for p in engine.model.parameters()),
    )
    leave_known((run.root, run.root / "last"), engine.config, data, engine.batches.split)
    finish(run, progress)
