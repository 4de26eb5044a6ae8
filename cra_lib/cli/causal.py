"""Commands that sample confounder dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cra_lib.paths import DataFiles, data_files, result_files
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.config import RunConfig

Dataset = Annotated[str, typer.Argument(help="shapes, nextgqa or star.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads; the centres do not depend on it.")]
confounders_app = typer.Typer(help="Confounder dictionaries.", no_args_is_help=True)


@confounders_app.command()
def sample(
    dataset: Dataset = "shapes",
    profile: Annotated[str, typer.Option(help="quick, paper or frozen.")] = "quick",
    data_dir: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the datasets, or of this dataset; default: data."),
    ] = None,
    results_dir: Annotated[Path | None, typer.Option("--results", help="Where the card goes.")] = (
        None
    ),
    parser: Annotated[str | None, typer.Option(help='A spaCy model, or "rules".')] = None,
    node_encoder: Annotated[str | None, typer.Option(help="Text encoder of the nodes.")] = None,
    num_confounders: Annotated[
        int | None,
        typer.Option(min=1, help="K; another than the profile's goes to files of its own."),
    ] = None,
    only: Annotated[str, typer.Option(help="language, visual or both.")] = "both",
    workers: Workers = 1,
) -> None:
    """Sample the dictionaries of a prepared dataset from its training split."""
    from cra_lib.reproduction.workspace import resolve_config

    if only not in {"language", "visual", "both"}:
        raise InputError(f"--only takes language, visual or both, not {only!r}.")
    chosen = {"parser": parser, "node_encoder": node_encoder, "num_confounders": num_confounders}
    config = resolve_config(dataset, profile, overrides={"causal": chosen})
    files, results = data_files(dataset, data_dir), result_files(dataset, results_dir)
    usual = resolve_config(dataset, profile).causal.num_confounders
    is_own = config.causal.num_confounders != usual
    sample_dictionaries(config, files, results.confounders_card, only, workers, is_own=is_own)


def sample_dictionaries(
    config: RunConfig,
    files: DataFiles,
    card: Path,
    only: str = "both",
    workers: int = 1,
    *,
    is_own: bool = False,
) -> None:
    """Sample from the training split, write the files and their card, and print a line each.

    Args:
        is_own: of another size than the profile's, so in files and a card of their own.
    """
    from cra_lib.causal.sampling import sample_language, sample_visual, write_card
    from cra_lib.evaluator.annotations import read_questions

    questions = read_questions(files.questions("train"))
    outs = {kind: getattr(files, f"{kind}_confounders") for kind in ("language", "visual")}
    if is_own:
        number = config.causal.num_confounders
        outs = {kind: files.own_confounders(kind, number) for kind in outs}
        card = card.with_stem(f"{card.stem}-{number}")
    if only != "visual":
        out = outs["language"]
        part = sample_language(
            questions,
            out,
            config.causal,
            source=files.questions("train"),
            width=config.model.width,
            workers=workers,
        )
        write_card(card, language=part)
        _print_part("language", part, out)
    if only != "language":
        features, out = files.features(config.data.encoder, "train"), outs["visual"]
        videos = {question.video_id for question in questions}
        part = sample_visual(features, out, config.causal, video_ids=videos, workers=workers)
        write_card(card, visual=part)
        _print_part("visual", part, out)


@confounders_app.command()
def parse(
    texts: Annotated[list[str], typer.Argument(help="Questions, each in quotes.")],
    parser: Annotated[str, typer.Option(help='A spaCy model, or "rules".')] = "rules",
) -> None:
    """Show question word, subject, verbs and objects of questions."""
    from cra_lib.causal.parsing import load_pipeline, parse_texts

    for text, found in parse_texts(texts, load_pipeline(parser)).items():
        typer.echo(text)
        typer.echo(f"  question word: {found.question_word or '-'}")
        for name in ("subject", "verbs", "objects"):
            typer.echo(f"  {name}: {', '.join(getattr(found, name)) or '-'}")


@confounders_app.command()
def compare(
    ours: Annotated[Path, typer.Argument(help="A dictionary of ours (.safetensors).")],
    theirs: Annotated[Path, typer.Argument(help="The release's dictionary (.npy, torch.save).")],
) -> None:
    """Say how a dictionary of ours differs from one of the authors' release."""
    from cra_lib.causal.comparison import compare_dictionaries
    from cra_lib.data.confounders import read_confounders
    from cra_lib.released import read_dictionary

    _, released = read_dictionary(theirs)
    for line in compare_dictionaries(read_confounders(ours), released.numpy()):
        typer.echo(line)


def _print_part(name: str, part: dict, out: Path) -> None:
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in part["seconds"].items())
    using = (
        f", parser {part['parser']!r}, nodes {part['node_encoder']!r}" if "parser" in part else ""
    )
    typer.echo(
        f"{name}: {part['num_confounders']} centres{using}, {part['empty']} empty, "
        f"inertia {part['inertia']:.6g} ({seconds}) -> {out}"
    )


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.add_typer(confounders_app, name="confounders")
