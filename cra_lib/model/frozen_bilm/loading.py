"""Finds a masked language model on this machine, and says which one it is.

A language model is a folder as the hub has it: ``config.json`` of a DeBERTa-v2, a tokenizer, and
``model.safetensors`` or ``pytorch_model.bin`` with the names ``deberta.*`` and
``lm_predictions.lm_head.*``.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cra_lib.model.frozen_bilm.language_model import MaskedLanguageModel, Vocabulary
from cra_lib.model.text import load_tokenizer, located
from cra_lib.records import InputError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
SETTING = "model.language_model"
ANSWERS = ("Yes", "No")
RENAMED = (
    ("deberta.embeddings.position_embeddings.", "positions."),
    ("lm_predictions.lm_head.", "head."),
)
"""Names in a language model's file, and where they go; others keep their names."""


def load_language_model(name: str) -> MaskedLanguageModel:
    """The frozen backbone of a name, a local folder, or "shapes-lm", on the CPU.

    Raises:
        InputError: it is not there, or no masked language model of the deberta-v2 kind.
    """
    import transformers

    tokenizer = load_tokenizer(name, SETTING)
    with located(name, SETTING) as source:
        config = transformers.AutoConfig.from_pretrained(source)
        paths = [_file(source, file) for file in WEIGHT_FILES]
    if config.model_type != "deberta-v2":
        raise InputError(
            f"Language model {name!r} is a {config.model_type}; a frozen backbone should be a "
            "masked language model of the deberta-v2 kind, such as microsoft/deberta-v2-xlarge."
        )
    path = next(filter(None, paths), None)
    if path is None:
        raise InputError(
            f"Language model {name!r} has neither {' nor '.join(WEIGHT_FILES)}; "
            f"run `hf download {source}` where there is a network."
        )
    model = MaskedLanguageModel(config, vocabulary_of(tokenizer, name))
    load_words(model, read_weights(path), str(path))
    return model.eval()


def vocabulary_of(tokenizer, name: str) -> Vocabulary:
    """The mask token and the first tokens of Yes and No.

    Raises:
        InputError: a tokenizer without a mask token, as that of a model of another kind.
    """
    if tokenizer.mask_token_id is None:
        raise InputError(f"The tokenizer of {name!r} has no mask token: no masked language model.")
    first = (tokenizer(answer, add_special_tokens=False)["input_ids"][0] for answer in ANSWERS)
    return Vocabulary(tokenizer.mask_token_id, tuple(first))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a torch file that holds nothing else.

    Raises:
        InputError: neither of them.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: not a file of weights ({reason}); copy it again.") from None


def load_words(model: MaskedLanguageModel, state: Mapping[str, Tensor], where: str) -> None:
    """Put a language model's file into a model without adapters.

    Raises:
        InputError: a weight that is missing or of another size.
    """
    given = {_renamed(name): value for name, value in state.items()}
    own = model.state_dict()
    if absent := sorted(set(own) - set(given)):
        raise InputError(
            f"{where}: {absent[0]!r} is missing ({len(absent)} in all); a frozen backbone needs a "
            "masked language model with its word head and absolute positions."
        )
    for name, value in own.items():
        if value.shape != given[name].shape:
            raise InputError(
                f"{where}: {name!r} is {list(given[name].shape)}, but its config.json says "
                f"{list(value.shape)}; weights and configuration are of different models."
            )
    model.load_state_dict({name: given[name].to(own[name].dtype) for name in own})


def save_language_model(state: Mapping[str, Tensor], config: Any, tokenizer, folder: Path) -> None:
    """Write a folder that `load_language_model` reads.

    Args:
        state: names as on the hub, see `word_state`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tensors = {name: value.contiguous() for name, value in state.items()}
    save_file(tensors, folder / WEIGHT_FILES[0], metadata={"format": "pt"})


def word_state(model: MaskedLanguageModel) -> dict[str, Tensor]:
    """Weights of a language model without adapters, under the names of the hub."""
    state = {}
    for name, value in model.state_dict().items():
        theirs = next((t + name.removeprefix(o) for t, o in RENAMED if name.startswith(o)), name)
        state[theirs] = value
    return state


def _renamed(name: str) -> str:
    for theirs, ours in RENAMED:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _file(source: str, name: str) -> Path | None:
    from transformers.utils import cached_file

    found = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)
