"""The engine against the method written out: one question at a time, one parameter at a time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from cra_lib.data.batches import load_split
from cra_lib.inference.predict import load_evaluation, predict
from cra_lib.model import CRA
from cra_lib.model.text import load_tokenizer
from cra_lib.paths import RunFiles
from cra_lib.training import fit, setup

STEPS = 9
"""One epoch has six: the warm-up ends, and the cosine begins."""


def _quiet(line: str) -> None:
    """Swallow a line of the log."""


class _OneProcess:
    global_rank, world_size, device = 0, 1, torch.device("cpu")


def _text(model, chunks, row: int) -> torch.Tensor:
    """[D] one text of a batch, encoded by itself and without padding."""
    for chunk in chunks:
        if row < len(chunk.tokens):
            tokens = chunk.tokens[row][chunk.keep[row]][None]
            return model.encode_text(tokens, torch.ones_like(tokens, dtype=torch.bool))[0]
        row -= len(chunk.tokens)
    raise IndexError(row)


def _stage_loss(model, batch, rows, index, text_ids) -> torch.Tensor:
    """Mean cross-entropy plus half of InfoNCE, by loops."""
    answers, segments, texts = [], [], []
    for number in range(len(rows)):
        video = model.encode_video(batch.features[number : number + 1])
        candidates = torch.stack([_text(model, batch.chunks, int(row)) for row in rows[number]])[
            None
        ]
        output = model(video, candidates, candidates.max(dim=1).values)
        answers.append(-output.answer_logits.log_softmax(dim=1)[0, index[number]])
        segments.append(F.normalize(output.grounded[0], dim=0))
        texts.append(F.normalize(candidates[0, index[number]], dim=0))
    aligned = []
    for own in range(len(rows)):
        others = [
            other
            for other in range(len(rows))
            if batch.video_ids[other] != batch.video_ids[own] and text_ids[other] != text_ids[own]
        ]
        for one, many in ((texts, segments), (segments, texts)):
            scores = torch.stack([one[own] @ many[place] / 0.07 for place in (own, *others)])
            aligned.append(-scores.log_softmax(dim=0)[0])
    return torch.stack(answers).mean() + 0.5 * torch.stack(aligned).mean()


def _written_out(config, data) -> dict[str, torch.Tensor]:
    """Weights after STEPS steps of AMSGrad under warm-up and cosine."""
    split = load_split(config, data, "train", load_tokenizer(config.model.text_encoder))
    batches = setup.training_batches(config, data, split, _OneProcess)
    model, train = setup.new_model(config, data).train(), config.train
    memory = {name: [torch.zeros_like(p) for _ in range(3)] for name, p in model.named_parameters()}
    per_epoch = len(batches)
    for step in range(STEPS):
        batch = batches.batch(batches.plan(step // per_epoch), step % per_epoch)
        loss = _stage_loss(
            model, batch, batch.pair_rows, batch.answer_index, batch.pair_text_ids
        ) + _stage_loss(
            model, batch, batch.question_rows, batch.question_index, batch.question_text_ids
        )
        model.zero_grad()
        loss.backward()
        total = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        scale = min(1.0, train.clip_norm / (float(total) + 1e-6))
        if step < per_epoch:
            factor = step / per_epoch
        else:
            done = (step - per_epoch) / (train.epochs * per_epoch - per_epoch)
            factor = 0.001 + 0.999 * (1 + torch.cos(torch.tensor(torch.pi * done)).item()) / 2
        with torch.no_grad():
            for name, p in model.named_parameters():
                first, second, largest = memory[name]
                gradient = p.grad * scale
                first.mul_(0.9).add_(0.1 * gradient)
                second.mul_(0.999).add_(0.001 * gradient**2)
                torch.maximum(largest, second, out=largest)
                size = (largest / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                p -= train.learning_rate * factor * first / (1 - 0.9 ** (step + 1)) / size
    return {name: p.detach() for name, p in model.named_parameters()}


def test_steps_are_those_of_the_method(world, tmp_path):
    """Chunked texts, one pass over videos, vectorised losses, fused AMSGrad: the same weights."""
    config = world.config(
        model={"dropout": 0.0, "position_dropout": 0.0},
        train={"epochs": 2, "max_steps": STEPS, "clip_norm": 0.5},
    )
    run = RunFiles(tmp_path)
    fit(config, world.data, run, log=_quiet)
    trained = load_file(run.root / "last" / "model.safetensors")
    expected = _written_out(config, world.data)
    start = dict(setup.new_model(config, world.data).named_parameters())
    moved = max(float((expected[name] - start[name]).detach().abs().max()) for name in expected)
    assert moved > 1e-3
    for name, weights in expected.items():
        # Where a gradient is rounding noise (a bias that softmax cancels), Adam makes steps of it.
        if not name.endswith(("key.bias", "score.bias", "score.2.bias")):
            torch.testing.assert_close(trained[name], weights, rtol=0, atol=3e-5, msg=name)


def test_after_training_other_questions_get_other_spans(world, tmp_path):
    """Four questions on a video ask for four moments; a model that cannot hear them has one."""
    config = world.config(train={"epochs": 25, "learning_rate": 5e-3}, span={"reach": 1.0})
    run = RunFiles(tmp_path)
    fit(config, world.data, run, log=_quiet)
    tokenizer = load_tokenizer(config.model.text_encoder)
    evaluation = load_evaluation(config, world.data, "val", tokenizer)
    videos = defaultdict(list)
    for prediction in predict(CRA.from_pretrained(run.root), evaluation, config):
        videos[prediction.key.rsplit("_", 1)[0]].append(prediction)
    assert len(videos) == 5
    for asked in videos.values():
        assert len({prediction.spans["post-hoc"] for prediction in asked}) >= 2
        weights = np.array([prediction.frame_weights for prediction in asked])
        assert np.ptp(weights, axis=0).max() > 0.01
