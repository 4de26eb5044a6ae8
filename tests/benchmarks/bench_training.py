"""How fast a training step and inference are, against a plain loop that works as the release does.

Run it as a script; it needs the real annotations (CRA_SHARED_DATA, or ../shared/data)::

    python tests/benchmarks/bench_training.py --write

Both ways have the same CRA model with a text encoder of RoBERTa-base's size and random weights, the
same questions and the same machine, and take turns. The plain way tokenises every item, pads to 38
and 30 tokens, encodes the video once a stage, multiplies attention out, loops over samples for the
negatives, and lets Adam loop over tensors. ``--write`` puts the ratios into
results/expected/benchmarks.json. The tokenizer is a byte-level BPE trained on the questions: the
length of a text in tokens is what matters here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cra_lib.config import RunConfig, run_config
from cra_lib.data.batches import Batch, TrainingBatches, make_split
from cra_lib.data.distractors import DistractorSampler
from cra_lib.data.nextgqa import train_from_nextoe
from cra_lib.inference.predict import CHUNK_TOKENS, Evaluation, predict
from cra_lib.model import build_model
from cra_lib.model.losses import loss_weights, weighted
from cra_lib.paths import atomic, expected_json
from cra_lib.training import Objective, step_losses
from cra_lib.training.setup import multiplies_bf16
from cra_lib.video.features import FeatureStore, write_features

ROOT = Path(__file__).resolve().parents[2]
PAIR_TOKENS, QUESTION_TOKENS = 38, 30


class Plain:
    """The release's way of doing the same step."""

    def __init__(self, model: nn.Module, split, sampler: DistractorSampler, tokenizer):
        self.model, self.split, self.tokenizer = model, split, tokenizer
        self.sampler = sampler

    def tokens(self, texts: list[str], limit: int) -> tuple[Tensor, Tensor]:
        """One tokenizer call an item, padded to the limit."""
        items = [
            self.tokenizer(text, padding="max_length", truncation=True, max_length=limit)
            for text in texts
        ]
        ids = torch.tensor([item["input_ids"] for item in items])
        return ids, torch.tensor([item["attention_mask"] for item in items]).bool()

    def losses(self, batch: Batch, candidates) -> dict[str, Tensor]:
        """Both stages one after the other, each with its own pass over the video."""
        rows = batch.questions.tolist()
        asked = [self.split.texts.questions[candidates.question_text[row]] for row in rows]
        answers = [[self.split.texts.answers[a] for a in candidates.answers[row]] for row in rows]
        pairs = [f"{q} {self.tokenizer.sep_token} {a}" for q, c in zip(asked, answers, strict=True)
                 for a in c]  # fmt: skip
        questions = [
            self.split.texts.questions[q] for row in rows for q in candidates.questions[row]
        ]
        losses = {}
        for name, texts, limit, index, text_ids in (
            ("answer", pairs, PAIR_TOKENS, batch.answer_index, batch.pair_text_ids),
            ("question", questions, QUESTION_TOKENS, batch.question_index, batch.question_text_ids),
        ):
            encoded = self.model.encode_text(*self.tokens(texts, limit))
            encoded = encoded.unflatten(0, (len(rows), -1))
            video = self.model.encode_video(batch.features)
            query = self.model.query_of(encoded, None if name == "answer" else index)
            output = self.model(video, encoded, query)
            losses[name] = F.cross_entropy(output.answer_logits, index)
            truth = encoded[torch.arange(len(rows)), index]
            losses[f"alignment_{name}"] = looped_alignment(
                output.grounded, truth, batch.video_ids, text_ids
            )
        return losses

    def answers(self, batch_size: int, count: int) -> list[int]:
        """Chosen answers of the first questions, as the release validates."""
        chosen = []
        questions = self.split.questions[:count]
        for start in range(0, count, batch_size):
            part = questions[start : start + batch_size]
            texts = [f"{q.text} {self.tokenizer.sep_token} {c}" for q in part for c in q.choices]
            with torch.no_grad():
                encoded = self.model.encode_text(*self.tokens(texts, PAIR_TOKENS))
                encoded = encoded.unflatten(0, (len(part), -1))
                rows = torch.from_numpy(self.split.video_index[start : start + len(part)])
                video = self.model.encode_video(self.split.features[rows])
                output = self.model(video, encoded, self.model.query_of(encoded, None))
            chosen += output.answer_logits.argmax(dim=1).tolist()
        return chosen


def looped_alignment(grounded: Tensor, texts: Tensor, videos: Tensor, text_ids: Tensor) -> Tensor:
    """The alignment loss, one sample at a time."""
    losses = []
    for anchor in range(len(grounded)):
        others = [
            other
            for other in range(len(grounded))
            if other == anchor
            or (videos[other] != videos[anchor] and text_ids[other] != text_ids[anchor])
        ]
        target = torch.tensor([others.index(anchor)])
        for one, many in ((texts, grounded), (grounded, texts)):
            scores = torch.stack(
                [F.cosine_similarity(one[anchor], many[other], dim=0) / 0.07 for other in others]
            )
            losses.append(F.cross_entropy(scores[None], target))
    return torch.stack(losses).mean()


def make_tokenizer(texts: list[str]):
    """A byte-level BPE with RoBERTa's special tokens, trained on the texts."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import PreTrainedTokenizerFast

    inner = ByteLevelBPETokenizer()
    inner.train_from_iterator(texts, 8000, 2, False, ["<s>", "<pad>", "</s>", "<unk>"])
    inner._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, **named)


def make_backbone(layers: int) -> nn.Module:
    """RoBERTa-base with random weights."""
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=50265,
        num_hidden_layers=layers,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    return RobertaModel(config, add_pooling_layer=False)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_gb() -> float:
    """Peak resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure_training(model, plain: Plain, batches: TrainingBatches, rounds: int) -> dict:
    """Samples a second of both ways, float32 and, where there is hardware for it, bf16."""
    plan = batches.plan(0)
    objective, weights = Objective(), loss_weights()

    def step(losses_of: Callable[[], dict[str, Tensor]], optimizer, bf16: bool = False) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = weighted(losses_of(), weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 12.0, foreach=optimizer is not loop_adam)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    loop_adam = torch.optim.Adam(model.parameters(), 1e-7, amsgrad=True, foreach=False)
    fused_adam = torch.optim.Adam(model.parameters(), 1e-7, amsgrad=True, fused=True)
    first = batches.batch(plan, 0)
    model.eval()
    with torch.no_grad():
        implementation(model, "sdpa")
        fast = step_losses(model, first, objective)
        implementation(model, "eager")
        slow = plain.losses(first, plan.candidates)
    difference = max(abs(float(fast[name]) - float(slow[name])) for name in fast)
    model.train()
    times: dict[str, list[tuple[float, float]]] = {"fast": [], "plain": [], "fast bf16": []}
    memory = {}

    def fast_step(turn: int, bf16: bool) -> None:
        batch = batches.batch(plan, turn)
        step(lambda: step_losses(model, batch, objective), fused_adam, bf16)

    def plain_step(turn: int) -> None:
        batch = batches.batch(plan, turn)
        step(lambda: plain.losses(batch, plan.candidates), loop_adam)

    for turn in range(rounds):
        implementation(model, "sdpa")
        times["fast"].append(seconds(partial(fast_step, turn, False)))
        memory.setdefault("fast", peak_gb())
        if multiplies_bf16():
            times["fast bf16"].append(seconds(partial(fast_step, turn, True)))
        implementation(model, "eager")
        times["plain"].append(seconds(partial(plain_step, turn)))
        memory.setdefault("plain", peak_gb())
    implementation(model, "sdpa")
    return summary(times, batches.batch_size, memory) | {"largest_loss_difference": difference}


def measure_inference(model, plain: Plain, evaluation, config: RunConfig, rounds: int) -> dict:
    """Questions a second of both ways, and how many answers agree."""
    count = len(evaluation.split)
    model.eval()
    answers: dict[str, list[int]] = {}
    times: dict[str, list[tuple[float, float]]] = {"fast": [], "plain": [], "fast bf16": []}

    def ours(name: str, bf16: bool) -> None:
        def autocast():
            return torch.autocast("cpu", torch.bfloat16, enabled=bf16)

        found = predict(model, evaluation, config, autocast=autocast)
        answers[name] = [prediction.answer for prediction in found]

    for _ in range(rounds):
        implementation(model, "sdpa")
        times["fast"].append(seconds(lambda: ours("fast", False)))
        if multiplies_bf16():
            times["fast bf16"].append(seconds(lambda: ours("fast bf16", True)))
        implementation(model, "eager")
        times["plain"].append(
            seconds(lambda: answers.update(plain=plain.answers(config.train.batch_size, count)))
        )
    agreement = {
        f"same_answers {name}": float(np.mean(np.equal(answers[name], answers["plain"])))
        for name in answers
        if name != "plain"
    }
    return summary(times, count, {}) | agreement


def implementation(model: nn.Module, name: str) -> None:
    """Fused (sdpa) or multiplied-out (eager) attention in the text encoder."""
    model.text.backbone.set_attn_implementation(name)


def summary(times: dict[str, list[tuple[float, float]]], count: int, memory: dict) -> dict:
    """Samples a second (best round), and ratios to the plain way by wall and processor time."""
    best = {name: np.min(values, axis=0) for name, values in times.items() if values}
    report: dict = {"samples_per_second": {n: round(count / t[0], 3) for n, t in best.items()}}
    for name in best:
        if name != "plain":
            wall, cpu = best["plain"] / best[name]
            report[f"ratio {name}"] = round(float(wall), 2)
            report[f"ratio {name}, processor time"] = round(float(cpu), 2)
    if memory:
        report["peak_gb"] = {name: round(value, 2) for name, value in memory.items()}
    return report


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[16, 32])
    parser.add_argument("--layers", type=int, default=12, help="layers of the text encoder")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--questions", type=int, default=192, help="questions of the inference")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shared = Path(os.environ.get("CRA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    questions, _ = train_from_nextoe(shared / "nextoe" / "train.csv")
    questions = questions[:3000]
    tokenizer = make_tokenizer([text for q in questions for text in (q.text, *q.choices)])
    config = run_config("nextgqa", overrides={"train": {"batch_size": 16}})
    model = build_model(
        config.model,
        visual=torch.randn(512, 768),
        graphs=torch.randn(512, 8, 768),
        backbone=make_backbone(options.layers),
        feature_width=768,
    )
    report: dict = {
        "machine": f"{platform.machine()}, {options.threads} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, bf16 in hardware: {multiplies_bf16()}",
        "text_encoder_layers": options.layers,
        "chunk_tokens": CHUNK_TOKENS["cpu"],
    }
    with tempfile.TemporaryDirectory() as folder:
        split = random_split(config, questions, tokenizer, Path(folder))
        few = random_split(config, questions[: options.questions], tokenizer, Path(folder))
    sampler = DistractorSampler(split.questions, split.texts)
    lengths = split.table.num_tokens(
        split.table.pairs(np.repeat(split.texts.question_text, 5), split.texts.choices.ravel())
    )
    report["pair_tokens_mean"] = round(float(lengths.mean()), 2)
    for size in options.batch_sizes:
        batches = TrainingBatches(split, sampler, batch_size=size, seed=0)
        plain = Plain(model, split, sampler, tokenizer)
        report[f"training, batch {size}"] = measure_training(model, plain, batches, options.rounds)
        print(json.dumps(report, indent=1), flush=True)
    times = np.tile(np.linspace(0.5, 39.5, 32), (len(few), 1))
    evaluation = Evaluation(few, times, np.full(len(few), 40.0), None)
    plain = Plain(model, few, sampler, tokenizer)
    report["inference"] = measure_inference(model, plain, evaluation, config, options.rounds)
    print(json.dumps(report, indent=1))
    if options.write:
        path = expected_json("benchmarks")
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        with atomic(path) as partial:
            measured = {**known.get("training", {}), **report}
            text = json.dumps({**known, "training": measured}, indent=1)
            partial.write_text(text + "\n", encoding="utf-8")


def random_split(config: RunConfig, questions, tokenizer, folder: Path):
    """Real questions with random frame features."""
    videos = sorted({question.video_id for question in questions})
    features = np.random.default_rng(0).normal(size=(len(videos), 32, 768)).astype(np.float32)
    write_features(folder / "features.h5", videos, features)
    with FeatureStore(folder / "features.h5") as store:
        return make_split(config, questions, store, tokenizer)


if __name__ == "__main__":
    main()
