"""Commands that ask a model about videos: in the terminal, and in the browser."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.inference.trained import TrainedModel

Model = Annotated[
    str,
    typer.Option(
        metavar="RUN|FOLDER|HUB",
        help="Folder of a trained run or model, a hub repository, or the model that comes along, "
        "which knows the embedded dataset only.",
    ),
]
Encoder = Annotated[
    str | None, typer.Option(help="Frame encoder; default: the one that the model was trained on.")
]
Weights = Annotated[Path | None, typer.Option(help="Folder or file of the encoder's weights.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command("ask")(ask)
    app.command("app")(page)


def ask(
    video: Annotated[
        Path | None, typer.Argument(help="A video file, or a csv of videos and questions.")
    ] = None,
    question: Annotated[str | None, typer.Argument(help="What you want to know.")] = None,
    choices: Annotated[
        str | None,
        typer.Option(
            help="Possible answers, between commas (or | where answers have commas); "
            "default: the answers that the model was trained on."
        ),
    ] = None,
    model: Model = "cra-shapes",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write strip.png, evidence.mp4 and answer.json; of a "
            "csv, answers.jsonl, which a second call continues.",
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Ask about a sample video.")] = False,
    start: Annotated[
        float | None, typer.Option("--from", help="Look only from this second on.")
    ] = None,
    end: Annotated[float | None, typer.Option("--to", help="Look only up to this second.")] = None,
    encoder: Encoder = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Ask about any video: the answer, and the seconds that show it.

    A csv has the columns video, question and, where there are choices, a0, a1, ...
    """
    if demo:
        video, question, options = _sample(video, question, choices)
    else:
        options = _choices(choices)
    is_csv = _checked(video, question).suffix.lower() == ".csv"
    from cra_lib.inference.trained import TrainedModel

    trained = TrainedModel(model, encoder=encoder, encoder_weights=weights, device=device)
    if is_csv:
        _ask_csv(video, save, trained)
        return
    from cra_lib.inference.session import VideoSession

    answer = VideoSession.open(video, trained, start=start, end=end).ask(question, options)
    about = {"video": str(video), "model": model}
    if as_json:
        typer.echo(json.dumps({**about, **answer.to_json()}, ensure_ascii=False))
    else:
        width, plain = shutil.get_terminal_size((72, 24)).columns, not _draws_blocks()
        typer.echo("\n".join(answer.to_lines(width, plain)))
    if save is not None:
        from cra_lib.inference.evidence import save_answer

        paths = save_answer(save, answer, video, model=model)
        typer.echo(f"saved     {', '.join(map(str, paths.values()))}", err=as_json)


def _checked(video: Path | None, question: str | None) -> Path:
    """The video or csv, looked at before torch is imported, which takes seconds.

    Raises:
        InputError: none was given, it is not there, or a video without a question.
    """
    if video is None:
        raise InputError("Which video? Give a file and a question, or --demo for a sample.")
    if video.suffix.lower() == ".csv":
        return video
    if not question:
        raise InputError(f'What about {video}? Give a question: cra ask {video} "what happens".')
    if not video.is_file():
        raise InputError(f"No video at {video}.")
    return video


def _draws_blocks() -> bool:
    """Whether the terminal can show block characters."""
    try:
        "▁█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _choices(text: str | None) -> list[str] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split("|" if "|" in text else ",")]
    if not all(words):
        raise InputError(f"--choices takes answers between commas, got {text!r}.")
    return words


def _sample(
    video: Path | None, question: str | None, choices: str | None
) -> tuple[Path, str, list[str] | None]:
    """The first sample video, with its own question unless another one is given.

    With --demo the only word that is needed is none; one word alone is the question.
    """
    from cra_lib.inference.samples import sample_videos

    path, asked, own = sample_videos()[0]
    given = question or (str(video) if video is not None else None)
    if given is None:
        return path, asked, _choices(choices) or own
    return path, given, _choices(choices)


def _ask_csv(path: Path, save: Path | None, model: TrainedModel) -> None:
    from cra_lib.inference.many import ask_csv

    if save is None:
        raise InputError("The answers to a csv go into a folder: give --save DIR.")
    out = save / "answers.jsonl"
    done = ask_csv(path, out, model, progress=_counter())
    typer.echo(f"{out}: {done.answered} answered, {done.failed} failed, {done.before} from before")


def _counter() -> Any:
    """Shows rows done of rows in all, where somebody watches."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    from tqdm import tqdm

    bar = tqdm(unit="question", leave=False)

    def show(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()
        if done == total:
            bar.close()

    return show


def page(
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN|FOLDER|HUB", help="A model to choose from; may be repeated."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of videos to pick from, besides the samples.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 0,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest upload, in megabytes.")] = 200,
    encoder: Encoder = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Ask about videos in the browser; the page is for this machine alone (127.0.0.1)."""
    from cra_lib.inference.page import serve

    serve(
        model or ["cra-shapes"],
        videos=videos,
        port=port,
        max_mb=max_mb,
        encoder=encoder,
        encoder_weights=weights,
        device=device,
        say=typer.echo,
    )
