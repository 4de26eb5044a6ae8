"""Trained models as folders: model.safetensors, config.json and a model card, all plain data.

``config.json``::

    {"format": "cra-lib 1", "settings": {every model setting}, "feature_width": 768,
     "visual": [512, 768], "graphs": [512, 8, 768], "text": {the text encoder's own configuration},
     "mask_sigma": 9.0}

``visual`` and ``graphs`` are the shapes of the confounder dictionaries; null where there is none.
``mask_sigma`` is the run's ``span.sigma``, in NG and NG+ only; a folder without it was made with 9.
Where the backbone is frozen, its weights are not in the folder: instead of ``text`` there is
``"frozen": {"language_model": name, "sha256": of the frozen weights}``. A folder ``language_model``
beside config.json, where there is one, is taken instead of that name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from cra_lib.config import ModelConfig
from cra_lib.paths import atomic, require
from cra_lib.records import InputError, read_json

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
KNOWN_FILES = KNOWN, FAMILIAR = "known.json", "known.safetensors"
"""What a model met in training, where it was trained here; see `cra_lib.inference.known`."""
SHIPPED = Path(__file__).with_name("shipped")
"""Models that come with the library, a folder each."""
FORMAT = "cra-lib 1"
LANGUAGE_MODEL = "language_model"
"""Folder of a frozen language model inside a model's folder, where it has one of its own."""
ON_THE_HUB = [WEIGHTS, CONFIG, CARD, *KNOWN_FILES, f"{LANGUAGE_MODEL}/*"]
"""What is fetched of a repository; nothing else in it is looked at."""
CODE_KEYS = {"auto_map", "trust_remote_code", "code_revision", "custom_pipelines"}
"""Entries by which a configuration names code that is not in the libraries installed here."""


def save_pretrained(model: nn.Module, folder: Path) -> None:
    """Write a model with everything that it takes to build it again, and a card about it."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.trained_state().items()
    }
    config = {
        "format": FORMAT,
        "settings": model.settings.model_dump(mode="json"),
        "feature_width": model.feature_width,
        "visual": _shape(state, "front_door.centres"),
        "graphs": _shape(state, "back_door.graphs"),
        **model.backbone_record(),
    }
    if (sigma := getattr(model, "sigma", None)) is not None:  # NG and NG+
        config["mask_sigma"] = sigma
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
        assemble = partial(_assemble, build, backbone, folder)
        model = _build(config, folder, assemble, _shapes(weights))
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights}: not a safetensors file ({error}); copy it again.") from None
    if not isinstance(model, kind):
        raise InputError(f"{folder} holds a {type(model).__name__}, not a {kind.__name__}.")
    fit_state(model, state, str(weights))
    if "frozen" in config:
        _check_frozen(model, config["frozen"], folder)
    return model.eval()


def fit_state(model: nn.Module, state: dict[str, torch.Tensor], where: str) -> None:
    """Load a state into a model that it must fit, name by name and shape by shape.

    Raises:
        InputError: naming the first parameter that is missing, unknown or of another shape.
    """
    fit_shapes(model, {name: tuple(tensor.shape) for name, tensor in state.items()}, where)
    model.load_trained_state(state)


def fit_shapes(model: nn.Module, stored: dict[str, tuple[int, ...]], where: str) -> None:
    """Compare what a model has trained with stored parameters, name by name and shape by shape.

    Raises:
        InputError: naming the first parameter that is missing, unknown or of another shape.
    """
    own, state = model.trained_state(), stored
    if absent := sorted(set(own) - set(state)):
        raise InputError(f"{where}: parameter {absent[0]!r} is missing ({len(absent)} in all).")
    if extra := sorted(set(state) - set(own)):
        raise InputError(f"{where}: parameter {extra[0]!r} is unknown ({len(extra)} in all).")
    for name, tensor in own.items():
        if tuple(tensor.shape) != state[name]:
            raise InputError(
                f"{where}: {name!r} is {list(state[name])}, but the model's is "
                f"{list(tensor.shape)}; the checkpoint is of another width."
            )


def _check_frozen(model: nn.Module, saved: dict, folder: Path) -> None:
    here = model.backbone_record()["frozen"]["sha256"]
    if here != saved["sha256"]:
        raise InputError(
            f"{folder} was trained on frozen weights of {saved['language_model']!r} with sha256 "
            f"{saved['sha256'][:12]}..., but those on this machine have {here[:12]}...; get the "
            "same ones."
        )


def fingerprint(state: dict[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of weights in main memory, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().contiguous().reshape(-1)
        digest.update(f"{name} {value.dtype} {list(state[name].shape)}\n".encode())
        digest.update(value.view(torch.uint8).numpy())
    return digest.hexdigest()


def model_card(model: nn.Module) -> str:
    """What a reader of the folder should know, as Markdown with the hub's header."""
    kind, settings = type(model).__name__, model.settings.model_dump(mode="json")
    public, module = {"cra": "CRA", "temp-clip": "TempCLIP"}.get(model.settings.family), "model"
    if public is None:
        public, module = "FrozenBiLM", "model.frozen_bilm"
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
    sizes = "\n".join(f"| {name} | {size:,} |" for name, size in count_parameters(model).items())
    return (
        "---\nlibrary_name: cra-lib\nlicense: mit\npipeline_tag: visual-question-answering\n---\n"
        f"# {kind}: video question grounding\n\n"
        "Answers a multiple-choice question about a video and says which frames it looked at.\n"
        f"It takes {model.feature_width}-wide frame features; a span is attention read as seconds,"
        "\nnot a measurement: check it against the video before relying on it.\n\n"
        f"```python\nfrom cra_lib.{module} import {public}\n"
        f'model = {public}.from_pretrained("FOLDER")\n```\n\n'
        f"| setting | value |\n|---|---|\n{rows}\n\n| part | parameters |\n|---|---|\n{sizes}\n"
    )


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Parameters of each part of the model, the text encoder's apart, ``total`` and ``trained``."""
    parts = [(name, part) for name, part in model.named_children() if name != "text"]
    if hasattr(model, "text"):
        parts = [(f"text.{name}", part) for name, part in model.text.named_children()] + parts
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts}
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {**counts, "total": total, **({} if trained == total else {"trained": trained})}


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
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(snapshot_download(str(source), allow_patterns=ON_THE_HUB))
    except (OSError, ValueError):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub has not sent it"
        raise InputError(
            f"No model folder {source}, and no such repository in the hub's cache ({why}); run "
            f"`hf download {source}` where there is a network, or give a folder."
        ) from None


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a file, from its header alone."""
    with safe_open(weights, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}


def _read_config(path: Path) -> dict:
    require(path, "Model configuration", "A model folder holds config.json beside its weights.")
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f'{path}: not a model of this library (no "format": "{FORMAT}").')
    if reason := _foreign_code(config):
        raise InputError(
            f"{path}: {reason}. A model of this library is plain data and runs no code of others; "
            "take this entry out, if you trust the rest."
        )
    return config


def _foreign_code(value: object, name: str = "") -> str:
    """Where a configuration asks for code from elsewhere; empty where it does not."""
    if name in CODE_KEYS and value:
        return f'"{name}" asks for code from elsewhere'
    if isinstance(value, dict):
        return next(filter(None, (_foreign_code(v, str(k)) for k, v in value.items())), "")
    if isinstance(value, list):
        return next(filter(None, (_foreign_code(item, name) for item in value)), "")
    # transformers fetches an attention named like a repository, and runs it.
    if "attn_implementation" in name and value not in (None, "eager", "sdpa"):
        return f'"{name}" is {value!r:.60}, where eager or sdpa is built in'
    return ""


def _build(
    config: dict,
    folder: Path,
    assemble: Callable[[dict, ModelConfig], nn.Module],
    stored: dict[str, tuple[int, ...]],
) -> nn.Module:
    """The model with room for its weights; nothing is fetched.

    It is first put together without memory and compared with the shapes of the weights: a
    configuration of any size is refused before it costs anything.
    """
    path = folder / CONFIG
    try:
        settings = ModelConfig.model_validate(config["settings"])
        layers = [settings.layers, *_layer_counts(config.get("text") or {})]
        if max(layers) > len(stored):
            raise InputError(f"{path}: {max(layers)} layers, but {len(stored)} tensors of weights.")
        if "frozen" in config:  # its language model is this machine's own, and bounds the rest
            return assemble(config, settings)
        with torch.device("meta"), _Unfilled():
            fit_shapes(assemble(config, settings), stored, str(folder / WEIGHTS))
        return assemble(config, settings)
    except InputError:
        raise
    except ValidationError as error:
        problem = error.errors()[0]
        why = f"{'.'.join(map(str, problem['loc']))!r}: {problem['msg']}"
    except Exception as error:  # transformers' configurations raise what they like
        why = " ".join(str(error).split())
    raise InputError(f"{path}: a setting is missing or wrong ({why:.160}).")


class _Unfilled(TorchFunctionMode):
    """New weights stay as they are: filling what has no memory would load torch's compiler."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        fills = func.__name__ in ("normal_", "uniform_", "trunc_normal_")
        if fills or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func is torch.eye:
            return torch.empty(args[0], args[0])
        return func(*args, **(kwargs or {}))


def _layer_counts(text: dict) -> list[int]:
    counts = [value for name, value in text.items() if "layers" in name and isinstance(value, int)]
    return [value for value in counts if not isinstance(value, bool)]


def _assemble(
    build: Callable[..., nn.Module],
    backbone: Callable[[dict], nn.Module],
    folder: Path,
    config: dict,
    settings: ModelConfig,
) -> nn.Module:
    text = None
    if "frozen" not in config:
        text = backbone(config["text"])
    elif (folder / LANGUAGE_MODEL).is_dir():
        own = {"language_model": str(folder / LANGUAGE_MODEL)}
        settings = settings.model_copy(update=own)
    shapes = (config["visual"], config["graphs"])
    visual, graphs = (None if shape is None else torch.zeros(shape) for shape in shapes)
    return build(
        settings,
        visual=visual,
        graphs=graphs,
        backbone=text,
        feature_width=config["feature_width"],
        mask_sigma=float(config.get("mask_sigma", 9.0)),
    )
