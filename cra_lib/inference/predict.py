"""From a trained model to predictions.jsonl, and from there to scores.json.

Videos are encoded once each, texts once each however often they occur, in chunks of similar
length; grounding and scoring then run over the questions in file order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cra_lib.config import RunConfig, SpanConfig
from cra_lib.config.files import load_config
from cra_lib.data.batches import (
    Split,
    chunk_texts,
    make_split,
    unique_pairs,
)
from cra_lib.evaluator.annotations import read_questions, read_stamps, read_truths
from cra_lib.evaluator.scores import score_report
from cra_lib.evaluator.spans import all_spans
from cra_lib.evaluator.video_scores import video_scores, write_video_scores
from cra_lib.inference.chance import open_chance_run, predict_by_chance
from cra_lib.inference.frozen import answer_prompts
from cra_lib.inference.light import light_tower, tokenizer_for
from cra_lib.model import build_model
from cra_lib.model.base import Pretrained
from cra_lib.model.saving import load_pretrained
from cra_lib.paths import DataFiles, RunFiles, atomic, require
from cra_lib.records import (
    InputError,
    Prediction,
    Span,
    Truth,
    read_predictions,
    write_predictions,
)
from cra_lib.video.features import FeatureStore

CHUNK_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Tokens of one call of a text encoder of RoBERTa-base's size: on a CPU as many as its caches hold,
on a GPU enough to keep it busy. Small encoders are faster with more."""

QUESTIONS_AT_ONCE = 256
"""Questions grounded and answered together, once their videos and texts are encoded."""

PROMPTED_AT_ONCE = 64
"""Questions that a frozen language model answers together. As released they influence each other,
and this is the batch size of the baseline's own scripts."""

WEIGHT_DIGITS, PROBABILITY_DIGITS = 7, 6
"""Decimals of frame weights and choice probabilities in predictions.jsonl."""


class Evaluation(NamedTuple):
    """A split with what turns its frame weights into seconds and its answers into scores."""

    split: Split
    frame_times: np.ndarray
    """[N, T] seconds."""
    durations: np.ndarray
    """[N] seconds."""
    truths: dict[str, Truth] | None
    """None where the annotation is not public or, for the training split, not there."""


def load_evaluation(config: RunConfig, data: DataFiles, name: str, tokenizer) -> Evaluation:
    """Read a split for prediction and scoring.

    Raises:
        InputError: a missing or damaged file, or features that do not fit the settings.
    """
    questions = read_questions(data.questions(name))
    with FeatureStore(
        data.features(config.data.encoder, name), width=config.data.feature_width
    ) as store:
        split = make_split(config, questions, store, tokenizer)
        stamps = _stamps(config, data, name, store, split.video_ids)
    if stamps.shape[1] != split.features.shape[1]:
        raise InputError(
            f"{data.stamps(name, config.data.stamps)} has {stamps.shape[1]} stamps a video, but "
            f"the features have {split.features.shape[1]} frames."
        )
    truths = read_truths(data, name) if data.segments(name).exists() else None
    # Stamps are spread evenly and centred, so the first one is as far from 0 as the last from
    # the end: the best guess where nobody wrote down how long a video is.
    guess = (stamps[:, 0] + stamps[:, -1])[split.video_index]
    known = [truths[q.key].duration if truths and q.key in truths else None for q in questions]
    durations = np.array([g if k is None else k for g, k in zip(guess, known, strict=True)])
    return Evaluation(split, stamps[split.video_index], durations, truths)


def _stamps(
    config: RunConfig, data: DataFiles, name: str, store: FeatureStore, video_ids: tuple[str, ...]
) -> np.ndarray:
    """[V, T] seconds: from the split's stamp file, else those stored with the features."""
    path = data.stamps(name, config.data.stamps)
    if not path.exists() and store.has_stamps:
        return np.array([store.stamps(video_id) for video_id in video_ids])
    table = read_stamps(require(path, "Frame stamps", "`cra doctor` says where they come from."))
    if missing := [video_id for video_id in video_ids if video_id not in table]:
        raise InputError(f"{path}: no frame stamps for video {missing[0]!r}.")
    return np.array([table[video_id] for video_id in video_ids])


def predict(
    model: nn.Module,
    evaluation: Evaluation,
    config: RunConfig,
    *,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> list[Prediction]:
    """What the model says about every question of a split, in file order.

    Args:
        model: on its device already; it is put into evaluation mode and left in the mode it had.
        autocast: context for the arithmetic, such as ``fabric.autocast``.
    """
    was_training = model.training
    model.eval()
    try:
        # One context around all calls: weights are then cast to bf16 once, not in every call.
        with torch.inference_mode(), autocast():
            find = _prompted_outputs if config.model.is_frozen else _outputs
            outputs = find(model, evaluation.split, config)
    finally:
        model.train(was_training)
    return to_predictions(outputs, evaluation, config.span)


class _Outputs(NamedTuple):
    """What a pass over a split leaves, as float32 arrays of N rows."""

    probabilities: np.ndarray
    frame_weights: np.ndarray
    raw_weights: np.ndarray
    gaussian: np.ndarray | None


def _outputs(model: nn.Module, split: Split, config: RunConfig) -> _Outputs:
    device = next(model.parameters()).device
    rows = np.arange(len(split))
    texts, place = unique_pairs(split, rows)
    chunks, row_of = chunk_texts(
        split.table, texts, chunk_tokens(config, device), is_padded(config)
    )
    pairs = model.encode_chunks([(c.tokens.to(device), c.keep.to(device)) for c in chunks])
    video = torch.cat([model.encode_video(part.to(device)) for part in split.features.split(64)])
    collected = []
    # The released front-door sees the whole batch; else large ones share the work on confounders.
    size = config.train.batch_size if config.model.front_door == "batch" else QUESTIONS_AT_ONCE
    for batch in (rows[start : start + size] for start in range(0, len(rows), size)):
        candidates = pairs[torch.from_numpy(row_of[place[batch]]).to(device)]
        frames = video[torch.from_numpy(split.video_index[batch]).to(device)]
        output = model(frames, candidates, model.query_of(candidates, None))
        probabilities = output.answer_logits.float().softmax(dim=-1)
        collected.append((probabilities, output.frame_weights, output.raw_weights, output.gaussian))
    return _Outputs(*map(_joined, zip(*collected, strict=True)))


def _prompted_outputs(model: nn.Module, split: Split, config: RunConfig) -> _Outputs:
    """The same with a frozen language model, which reads video and text together."""
    device, collected = next(model.parameters()).device, []
    rows = np.arange(len(split))
    for batch in (rows[i : i + PROMPTED_AT_ONCE] for i in range(0, len(rows), PROMPTED_AT_ONCE)):
        output = answer_prompts(
            model,
            split.table,
            split.features[torch.from_numpy(split.video_index[batch])].to(device),
            split.texts.question_text[batch],
            split.texts.choices[batch],
            chunk_tokens(config, device),
        )
        probabilities = output.answer_logits.softmax(dim=-1)
        collected.append((probabilities, output.frame_weights, output.raw_weights, output.gaussian))
    return _Outputs(*map(_joined, zip(*collected, strict=True)))


def chunk_tokens(config: RunConfig, device: torch.device) -> int:
    """Tokens of one call of the text encoder."""
    return config.train.chunk_tokens or CHUNK_TOKENS.get(device.type, CHUNK_TOKENS["cpu"])


def is_padded(config: RunConfig) -> bool:
    """Whether texts must be padded to their limits, because the text pooling counts padding."""
    return config.model.text_pooling == "padded" and not config.model.is_frozen


def _joined(parts: tuple[Tensor | None, ...]) -> np.ndarray | None:
    return None if parts[0] is None else torch.cat(parts).float().cpu().numpy()


def to_predictions(outputs: _Outputs, evaluation: Evaluation, span: SpanConfig) -> list[Prediction]:
    """The one border between tensors and records: chosen answers, spans in seconds, weights."""
    times = evaluation.frame_times
    spans = all_spans(
        outputs.frame_weights, times, evaluation.durations, span, gaussian=outputs.gaussian
    )
    answers = outputs.probabilities.argmax(axis=1).tolist()
    probabilities = outputs.probabilities.astype(float).round(PROBABILITY_DIGITS).tolist()
    weights = outputs.frame_weights.astype(float).round(WEIGHT_DIGITS).tolist()
    raw = outputs.raw_weights.astype(float).round(WEIGHT_DIGITS).tolist()
    return [
        Prediction(
            key=question.key,
            answer=answers[row],
            choice_probabilities=tuple(probabilities[row]),
            spans={rule: Span(*map(float, ends[row].round(3))) for rule, ends in spans.items()},
            frame_weights=tuple(weights[row]),
            frame_times=tuple(map(float, times[row])),
            raw_weights=tuple(raw[row]) if raw[row] != weights[row] else None,
        )
        for row, question in enumerate(evaluation.split.questions)
    ]


def run_settings(run: RunFiles) -> RunConfig:
    """The settings that a run was trained with.

    Raises:
        InputError: there is no run in this folder.
    """
    return load_config(
        require(run.config, "Trained run", "Train it first: `cra train` or notebook 03.")
    )


def open_run(config: RunConfig, run: RunFiles) -> RunFiles:
    """The run before it is predicted: a trained one as it lies there; `random`, which has nothing
    to train, is made now."""
    if not config.model.is_trained:
        open_chance_run(config, run)
    return run


def load_run(run: RunFiles) -> tuple[RunConfig, nn.Module]:
    """Settings and best model of a finished run, on the CPU.

    Raises:
        InputError: the run is not there or not finished.
    """
    config = run_settings(run)
    require(run.weights, "Trained model", "The training is not finished; run `cra train` again.")
    return config, load_pretrained(run.root, build_model, Pretrained, light_tower)


def predict_run(
    run: RunFiles, data: DataFiles, split: str, *, precision: str | None = None
) -> list[Prediction]:
    """Predict one split with a trained model and write its predictions file.

    Args:
        precision: arithmetic; None takes that of the training.
    """
    config = run_settings(run)
    if config.model.is_trained:
        predictions = _predict_trained(run, data, split, precision)
    else:
        predictions = predict_by_chance(config, data, split)
    with atomic(run.predictions(split)) as partial:
        write_predictions(partial, predictions)
    return predictions


def _predict_trained(
    run: RunFiles, data: DataFiles, split: str, precision: str | None
) -> list[Prediction]:
    config, model = load_run(run)
    device, autocast = _place(config.train.accelerator, precision or config.train.precision)
    evaluation = load_evaluation(config, data, split, tokenizer_for(config.model))
    return predict(model.to(device), evaluation, config, autocast=autocast)


def _place(
    accelerator: str, precision: str
) -> tuple[torch.device, Callable[[], AbstractContextManager]]:
    """Where and in which arithmetic to predict, as Fabric decides it."""
    if accelerator == "cpu" and precision == "32-true":
        return torch.device("cpu"), nullcontext  # known without Fabric, which takes seconds
    from cra_lib.inference.fabric import make_fabric

    fabric = make_fabric(accelerator=accelerator, devices=1, precision=precision)
    return fabric.device, fabric.autocast


def score_run(
    run: RunFiles, data: DataFiles, split: str, *, bootstrap: int = 1000
) -> dict[str, Any]:
    """Score the predictions file of a split; write scores_<split>.json and scores by video.

    Raises:
        InputError: no predictions yet, or a split whose truth is not public.
    """
    config = run_settings(run)
    path = require(run.predictions(split), "Predictions", "Run `cra predict` first.")
    header = {
        "dataset": config.dataset,
        "variant": config.variant,
        "seed": config.seed,
        "split": split,
        "rule": config.span.rule,
        "stamps": config.data.stamps,
        "windows": config.span.windows,
    }
    predictions, truths = list(read_predictions(path)), read_truths(data, split)
    report = score_report(predictions, truths, None, header, bootstrap=bootstrap)
    write_video_scores(run.video_scores(split), video_scores(predictions, truths, config.span.rule))
    with atomic(run.scores(split)) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report
