"""Commands that import, export and describe models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command("import-released")(import_released)
    app.command("export-released")(export_released)
    app.command("parameters")(parameters)


def import_released(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A .pth checkpoint, qa_graphs.npy or visual_clusters.npy."
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write to.")],
    language_model: Annotated[
        str, typer.Option(help="FrozenBiLM only: whose tokenizer to read; a name or a folder.")
    ] = "microsoft/deberta-v2-xlarge",
) -> None:
    """Bring a file of the authors' release into this library's formats; none of it is executed.

    A checkpoint becomes a model folder; a confounder file becomes visual.safetensors or
    language.safetensors.
    """
    from cra_lib import released
    from cra_lib.data.confounders import write_confounders

    if source.suffix == ".npy":
        kind, centres = released.read_dictionary(source)
        # The release keeps no cluster sizes.
        write_confounders(out_dir / f"{kind}.safetensors", centres.numpy())
        typer.echo(f"{kind} confounders {list(centres.shape)} -> {out_dir}/{kind}.safetensors")
        return
    imported = released.import_checkpoint(source, out_dir, language_model=language_model)
    typer.echo(f"{type(imported.model).__name__} -> {out_dir}")
    _list("kept aside, the release never reads them", sorted(imported.leftovers))
    _list("missing, left at random", imported.missing)


def export_released(
    folder: Annotated[Path, typer.Argument(help="A model folder of a released variant.")],
    out: Annotated[Path, typer.Argument(help="The .pth file to write.")],
) -> None:
    """Write a model folder as a checkpoint with the release's parameter names."""
    from cra_lib import released

    state = released.export_checkpoint(folder, out)
    typer.echo(f"{len(state)} tensors -> {out}")


def parameters(
    variant: Annotated[str, typer.Option(help="Variant, as in `cra train`.")] = "cra",
    text_encoder: Annotated[
        str, typer.Option(help="Text encoder; roberta-base needs no download.")
    ] = "roberta-base",
    confounders: Annotated[int, typer.Option(help="Confounders per modality, K.")] = 512,
) -> None:
    """Count the parameters of a variant at the paper's widths, and explain the published number."""
    from cra_lib.model.parameters import explain_cost, explain_size, paper_sized
    from cra_lib.model.saving import count_parameters

    model = paper_sized(variant, text_encoder, confounders)
    counts = count_parameters(model)
    if variant in ("cra", "cra-released"):
        typer.echo(explain_size(counts))
    else:
        typer.echo("\n".join(f"{name:<42}{count:>13,}" for name, count in counts.items()))
    if model.settings.is_frozen:
        typer.echo(explain_cost(variant))


def _list(what: str, names: list[str]) -> None:
    typer.echo(f"{what}: {len(names)}")
    for name in names:
        typer.echo(f"  {name}")
