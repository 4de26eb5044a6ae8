"""What notebook 06 asks where nobody says what: a test question of the run, or the sample."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cra_lib.evaluator.annotations import read_questions
from cra_lib.inference.samples import sample_videos
from cra_lib.inference.trained import DEFAULT_MODEL, TrainedModel
from cra_lib.paths import DataFiles, ResultFiles, RunFiles
from cra_lib.records import InputError, Prediction, Question, read_predictions

LARGEST_EMBEDDED = 30_000_000
"""Bytes of a video that a notebook holds in itself; a larger one is shown by its path."""


class Example(NamedTuple):
    """A video with a question, and the model that is asked."""

    video: Path
    question: str
    choices: list[str] | None
    model: TrainedModel
    prediction: Prediction | None = None
    """What the evaluation of the same model said about the same question, where there is one."""


def choose_example(
    results: ResultFiles,
    data: DataFiles,
    video: str = "",
    question: str = "",
    choices: str = "",
    model: str = "",
) -> Example:
    """The video, question and model that are asked for; what is empty is chosen.

    Args:
        choices: between commas; empty ranks the answers that the model learned, but for a question
            that is chosen here, which has its own.
        model: a source as `TrainedModel` takes it; empty takes `cra`'s run with the lowest seed,
            and the model that comes along where there is none.

    Raises:
        InputError: a video without a question, or a model that is not there.
    """
    given = [word.strip() for word in choices.split(",") if word.strip()] or None
    run = None if model else first_run(results)
    if video:
        if not question:
            raise InputError(f"What about {video}? Set QUESTION.")
        source = model or (run.root if run else DEFAULT_MODEL)
        return Example(Path(video).expanduser(), question, given, TrainedModel(source))
    if run is not None and (first := _first_question(data)) is not None:
        try:
            trained = TrainedModel(run.root)
            _ = trained.encoder  # its weights may be on another machine
        except InputError as problem:
            print(f"Asking {DEFAULT_MODEL} about its sample instead: {problem}")
        else:
            own = given if question else list(first.choices)
            said = None if question else _prediction(run, first)
            asked = question or first.text
            return Example(data.video(first.video_id), asked, own, trained, said)
    sample = sample_videos()[0]
    own = given if question else sample.choices
    return Example(
        sample.path, question or sample.question, own, TrainedModel(model or DEFAULT_MODEL)
    )


def first_run(results: ResultFiles) -> RunFiles | None:
    """The run of `cra` with the lowest seed that is finished."""
    folders = sorted(
        (results.root / "runs" / "cra").glob("seed*"), key=lambda f: int(f.name[4:] or 0)
    )
    runs = map(RunFiles, folders)
    return next((run for run in runs if run.weights.is_file()), None)


def _first_question(data: DataFiles) -> Question | None:
    """The first test question whose video lies beside the annotation."""
    if not data.questions("test").is_file():
        return None
    questions = read_questions(data.questions("test"))
    return next((q for q in questions if data.video(q.video_id).is_file()), None)


def _prediction(run: RunFiles, question: Question) -> Prediction | None:
    path = run.predictions("test")
    if not path.is_file():
        return None
    return next((p for p in read_predictions(path) if p.key == question.key), None)


def player(path: Path, width: int = 360):
    """The video as a notebook shows it, held in the notebook itself where it is not too large."""
    from IPython.display import Video

    small = path.stat().st_size <= LARGEST_EMBEDDED
    return Video(str(path), embed=small, width=width, html_attributes="controls muted loop")
