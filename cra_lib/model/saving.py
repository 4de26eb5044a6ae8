"""Trained models as folders: model.safetensors, config.json and a model card, all plain data.

``config.json``::

    {"format": "cra-lib 1", "settings": {every model setting}, "feature_width": 768,
     "visual": [512, 768], "graphs": [512, 8, 768], "text": {the text encoder's own configuration},
     "mask_sigma": 9.0}

``visual`` and ``graphs`` are the shapes of the confounder dictionaries; null where there is none.
``mask_sigma`` is the run's ``span.sigma``, in NG and NG+ only; a folder without it was made with 9.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cra_lib.config import ModelConfig
from cra_lib.paths import atomic, require
from cra_lib.records import InputError

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
KNOWN_FILES = KNOWN, FAMILIAR = "known.json", "known.safetensors"
"""What a model met in training, where it was trained here; see `cra_lib.inference.known`."""
SHIPPED = Path(__file__).with_name("shipped")
"""Models that come with the library, a folder each."""
FORMAT = "cra-lib 1"


def save_pretrained(model: nn.Module, folder: Path) -> None:
    """Write a model with everything that it takes to build it again, and a card about it."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    config = {
        "format": FORMAT,
        "settings": model.settings.model_dump(mode="json"),
        "feature_width": model.feature_width,
        "visual": _shape(state, "front_door.centres"),
        "graphs": _shape(state, "back_door.graphs"),
        "text": model.text.backbone.config.to_dict(),
    }
    if (sigma := getattr(model, "sigma", None)) is not None:  # NG and NG+
        config["mask_sigma"] = sigma
    config["text"].pop("_name_or_path", None)  # a folder of the machine that trained it
    with atomic(folder / WEIGHTS) as partial:
        save_file(state, partial, metadata={"format": "pt"})
    with atomic(folder / CONFIG) as partial:
        partial.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    with atomic(folder / CARD) as partial:
        partial.write_text(model_card(model), encoding="utf-8")


def text_tower(config: dict) -> nn.Module:
    """The text encoder of a configuration as transformers builds it, with random weights."""
    import transformers

    return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**config))


def load_pretrained(
    source: str | Path,
    build: Callable[..., nn.Module],
    kind: type[nn.Module] = nn.Module,
    backbone: Callable[[dict], nn.Module] = text_tower,
) -> nn.Module:
    """The model of a folder, or of a repository on the hub, in evaluation mode, on the CPU.

    Args:
        source: a folder, a hub repository, or the name of a shipped model.
        build: makes a model from settings, as `assemble.build_model` does.
        kind: the class it should be.
        backbone: makes its text encoder from that one's configuration.

    Raises:
        InputError: nothing there, another kind of model, or weights that do not fit.
    """
    folder = model_folder(source)
    config = _read_config(folder / CONFIG)
    weights = require(folder / WEIGHTS, "Model weights", "Copy the whole folder.")
    try:
        state = load_file(weights)
    except SafetensorError as error:
        raise InputError(f"{weights}: not a safetensors file ({error}); copy it again.") from None
    model = _build(config, folder, build, backbone)
    if not isinstance(model, kind):
        raise InputError(f"{folder} holds a {type(model).__name__}, not a {kind.__name__}.")
    fit_state(model, state, str(weights))
    return model.eval()


def fit_state(model: nn.Module, state: dict[str, torch.Tensor], where: str) -> None:
    """Load a state into a model that it must fit, name by name and shape by shape.

    Raises:
        InputError: naming the first parameter that is missing, unknown or of another shape.
    """
    own = model.state_dict()
    if absent := sorted(set(own) - set(state)):
        raise InputError(f"{where}: parameter {absent[0]!r} is missing ({len(absent)} in all).")
    if extra := sorted(set(state) - set(own)):
        raise InputError(f"{where}: parameter {extra[0]!r} is unknown ({len(extra)} in all).")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise InputError(
                f"{where}: {name!r} is {list(state[name].shape)}, but the model's is "
                f"{list(tensor.shape)}; the checkpoint is of another width."
            )
    model.load_state_dict(state)


def model_card(model: nn.Module) -> str:
    """What a reader of the folder should know, as Markdown with the hub's header."""
    kind, settings = type(model).__name__, model.settings.model_dump(mode="json")
    public = "CRA" if model.settings.family == "cra" else "TempCLIP"
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
    sizes = "\n".join(f"| {name} | {size:,} |" for name, size in count_parameters(model).items())
    return (
        "---\nlibrary_name: cra-lib\nlicense: mit\npipeline_tag: visual-question-answering\n---\n"
        f"# {kind}: video question grounding\n\n"
        "Answers a multiple-choice question about a video and says which frames it looked at.\n"
        f"It takes {model.feature_width}-wide frame features; a span is attention read as seconds,"
        "\nnot a measurement: check it against the video before relying on it.\n\n"
        f"```python\nfrom cra_lib.model import {public}\n"
        f'model = {public}.from_pretrained("FOLDER")\n```\n\n'
        f"| setting | value |\n|---|---|\n{rows}\n\n| part | parameters |\n|---|---|\n{sizes}\n"
    )


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Parameters of each part of the model, the text encoder's apart, and ``total``."""
    parts = [(f"text.{name}", part) for name, part in model.text.named_children()]
    parts += [(name, part) for name, part in model.named_children() if name != "text"]
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts}
    return {**counts, "total": sum(p.numel() for p in model.parameters())}


def _shape(state: dict[str, torch.Tensor], name: str) -> list[int] | None:
    return list(state[name].shape) if name in state else None


def shipped_models() -> list[str]:
    """Names of the models that come with the library."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG}"))


def model_folder(source: str | Path) -> Path:
    """The local folder itself, a shipped model's, or a hub repository's copy in the cache.

    Raises:
        InputError: none of these.
    """
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser()
    if str(source) in shipped_models():
        return SHIPPED / str(source)
    if str(source).startswith((".", "/", "~")) or str(source).count("/") != 1:
        raise InputError(
            f"No model folder {source}. Give the folder of a trained run, a repository of the hub "
            f"(OWNER/NAME), or a model that comes along: {', '.join(shipped_models())}."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(str(source), allow_patterns=[WEIGHTS, CONFIG, CARD, *KNOWN_FILES])
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"No model folder {source}, and no such repository in the hub's cache or reach "
            f"({type(error).__name__})."
        ) from None


def _read_config(path: Path) -> dict:
    require(path, "Model configuration", "A model folder holds config.json beside its weights.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error.msg}).") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f'{path}: not a model of this library (no "format": "{FORMAT}").')
    return config


def _build(
    config: dict,
    folder: Path,
    build: Callable[..., nn.Module],
    backbone: Callable[[dict], nn.Module],
) -> nn.Module:
    """The model with room for its weights; nothing is fetched."""
    try:
        settings = ModelConfig(**config["settings"])
        text = backbone(config["text"])
        shapes = (config["visual"], config["graphs"])
        visual, graphs = (None if shape is None else torch.zeros(shape) for shape in shapes)
        width, mask_sigma = config["feature_width"], float(config.get("mask_sigma", 9.0))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InputError(f"{folder / CONFIG}: a setting is missing or wrong ({error}).") from None
    return build(
        settings,
        visual=visual,
        graphs=graphs,
        backbone=text,
        feature_width=width,
        mask_sigma=mask_sigma,
    )
