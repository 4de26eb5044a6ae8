"""Make the model that comes with the library out of a finished run on the embedded dataset.

    python scripts/ship_model.py results/shapes/runs/cra/seed2024 --data data/shapes

Writes ``cra_lib/model/shipped/cra-shapes``: weights, configuration, what the model met in
training, a card with its scores and hashes, and two sample videos with a question each; and
``docs/ask.png``, what `cra ask` says about the first of them. A second call replaces the first
one's files. The model must have been scored on the test split.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

from cra_lib.config import RunConfig
from cra_lib.config.files import load_config
from cra_lib.data.batches import load_split
from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.inference.drawing import strip_frames
from cra_lib.inference.leave import leave_known
from cra_lib.inference.session import VideoSession
from cra_lib.model.base import GroundedModel
from cra_lib.model.saving import CARD, CONFIG, FAMILIAR, KNOWN, SHIPPED, WEIGHTS, count_parameters
from cra_lib.model.text import load_tokenizer
from cra_lib.paths import DataFiles, RunFiles, atomic, require, sha256
from cra_lib.records import InputError, Question, read_predictions

LARGEST = 3_000_000
"""Bytes of the weights, at most: they travel in every wheel."""
SAMPLES = "samples"
SHOWN = ("Acc@QA", "Acc@GQA", "mIoP", "mIoU")


def main(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    data_dir: Annotated[Path, typer.Option("--data", help="Folder of its dataset.")],
    name: Annotated[str, typer.Option(help="Name of the shipped model.")] = "cra-shapes",
    out: Annotated[Path, typer.Option(help="Folder of the shipped models.")] = SHIPPED,
    picture: Annotated[Path, typer.Option(help="Picture of an answer for the README.")] = Path(
        "docs/ask.png"
    ),
) -> None:
    """Write the shipped model's folder from a run."""
    run, data = RunFiles(run_dir), DataFiles(data_dir)
    config = load_config(require(run.config, "Run", "Train it first: ./reproduce.sh"))
    scores_path = require(run.scores("test"), "Scores", "Evaluate it first: ./reproduce.sh")
    scores = json.loads(scores_path.read_text(encoding="utf-8"))
    model = GroundedModel.from_pretrained(run_dir)
    if (size := run.weights.stat().st_size) > LARGEST:
        raise InputError(f"{run.weights} holds {size} bytes; a shipped model has at most {LARGEST}")
    tokenizer = load_tokenizer(config.model.text_encoder)
    train = load_split(config, data, "train", tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / name
        model.save_pretrained(made)
        leave_known([made], config, data, train)
        samples = write_samples(made / SAMPLES, data, run)
        facts = count_parameters(model)["total"], train.features.shape[1]
        card = card_text(config, scores, made, *facts, samples)
        (made / CARD).write_text(card, encoding="utf-8")
        draw_answer(picture, made, samples)
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.move(made, out / name)
    size = sum(path.stat().st_size for path in (out / name).rglob("*") if path.is_file())
    typer.echo(f"{out / name}: {size} bytes; {picture}")


def write_samples(folder: Path, data: DataFiles, run: RunFiles, count: int = 2) -> dict[str, Any]:
    """Copy the first test videos with a grounded, rightly answered question; say which they are.

    They show what an answer looks like, not how often it is right: the scores say that.
    """
    truths, questions = read_truths(data, "test"), read_questions(data.questions("test"))
    said = {p.key: p for p in read_predictions(run.predictions("test"))}
    rule = load_config(run.config).span.rule
    chosen: dict[str, Question] = {}
    for question in questions:
        prediction, truth = said[question.key], truths[question.key]
        start, end = prediction.spans[rule]
        grounded = any(min(end, b) - max(start, a) >= 0.6 * (end - start) > 0
                       for a, b in truth.segments)  # fmt: skip
        if prediction.answer == question.answer and grounded and len(chosen) < count:
            kinds = {q.type for q in chosen.values()}
            if question.video_id not in chosen and question.type not in kinds:
                chosen[question.video_id] = question
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for number, question in enumerate(chosen.values(), start=1):
        file = f"shapes-{number}.mp4"
        shutil.copyfile(data.video(question.video_id), folder / file)
        index[file] = {"question": question.text, "choices": list(question.choices)}
    with atomic(folder / "samples.json") as partial:
        partial.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return index


def draw_answer(out: Path, folder: Path, samples: dict[str, Any]) -> None:
    """What a terminal shows of the first sample's answer, over the strip that is saved with it."""
    file, asked = next(iter(samples.items()))
    video = VideoSession.open(folder / SAMPLES / file, str(folder))
    answer = video.ask(asked["question"], asked["choices"])
    choices = ",".join(answer.choices)
    command = f'$ cra ask {file} "{answer.question}" \\\n      --choices "{choices}"'
    lines = [command, *answer.to_lines()[1:]]
    figure = Figure(figsize=(9.2, 3.3), layout="constrained", facecolor="#1E1E1E")
    text, strip = figure.subplots(2, 1, height_ratios=[3.0, 0.8])
    text.text(0, 1, "\n".join(lines), family="DejaVu Sans Mono", size=9.5, color="#E8E8E8",
              va="top", linespacing=1.35, transform=text.transAxes)  # fmt: skip
    strip.imshow(strip_frames(answer))
    for axes in (text, strip):
        axes.set_axis_off()
    with atomic(out) as partial:
        figure.savefig(partial, dpi=130, metadata={"Software": None})


def card_text(
    config: RunConfig,
    scores: dict[str, Any],
    folder: Path,
    parameters: int,
    num_frames: int,
    samples: dict[str, Any],
) -> str:
    """What a reader of the folder should know; the first line says what the model is good for."""
    row, spread = scores["rules"][config.span.rule], scores["intervals"][config.span.rule]
    measured = "\n".join(
        f"| {name} | {row[name]:.1f} | {spread[name][0]:.1f} to {spread[name][1]:.1f} |"
        for name in SHOWN
    )
    train, files = (
        config.train,
        (WEIGHTS, CONFIG, KNOWN, FAMILIAR, *(f"{SAMPLES}/{f}" for f in samples)),
    )
    hashes = "\n".join(f"| {file} | `{sha256(folder / file)}` |" for file in files)
    return f"""\
This model is good for one little world only: the rendered videos of `shapes`, and its words.

Its answers about any other video are guesses, and it says so. It comes along so that `cra ask` and
`from_pretrained("{folder.name}")` work at once; for real videos train on NExT-GQA or your own data.

* variant `{config.variant}`, seed {config.seed}, {parameters:,} parameters, MIT licence
* recipe: {train.epochs} epochs, batches of {train.batch_size}, learning rate
  {train.learning_rate:g}; no interval was ever seen in training
* frames: `{config.data.encoder}`, {num_frames} a video
* settings: `{CONFIG}` (model) and `{KNOWN}` (what it met in training)

Test split without bias, percent, intervals over videos (95 %):

| | | |
|---|---|---|
{measured}

| file | SHA-256 |
|---|---|
{hashes}

Made by `scripts/ship_model.py` from a run of `./reproduce.sh`.
"""


if __name__ == "__main__":
    typer.run(main)
