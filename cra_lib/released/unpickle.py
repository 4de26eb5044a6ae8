"""Read pickled torch files without executing what is in them.

A pickle names functions and classes to call. This reader admits the few that rebuild tensors and
arrays, turns graph objects into inert stand-ins that only keep their attributes, and refuses all
else before anything is called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cra_lib.paths import require
from cra_lib.records import InputError

STAND_IN_PACKAGES = ("torch_geometric",)
"""Classes of these packages become `StandIn`: their data is read, their code is not needed."""

BROKEN = (
    AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
    zipfile.BadZipFile,
)  # fmt: skip
"""What the readers raise on a file that is damaged or something else."""


class StandIn:
    """An object of a library that is not imported: whatever state it was saved with, as ``dict``.

    It runs nothing: construction ignores its arguments, state lands in one dictionary.
    """

    def __new__(cls, *args: object, **kwargs: object) -> StandIn:
        made = super().__new__(cls)
        object.__setattr__(made, "data", {})
        return made

    def __init__(self, *args: object, **kwargs: object):
        self.data["args"] = args

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.data.update(part)

    def __setitem__(self, key: object, value: object) -> None:
        self.data[key] = value


def _stand_in(module: str, name: str) -> type[StandIn]:
    return type(name, (StandIn,), {"__module__": f"stand-in for {module}"})


def _nested(data: bytes) -> Any:
    """A tensor's storage inside a plain pickle is itself a small torch file."""
    return _load(io.BytesIO(data))


def _admitted() -> dict[tuple[str, str], Any]:
    rebuild, arrays = torch._utils, np._core.multiarray
    found: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("_codecs", "encode"): _latin_bytes,
        ("torch", "Size"): torch.Size,
        ("torch", "Tensor"): torch.Tensor,
        ("torch.storage", "_load_from_bytes"): _nested,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
        found["torch._utils", name] = getattr(rebuild, name)
    for package in ("numpy.core", "numpy._core"):
        found[f"{package}.multiarray", "_reconstruct"] = arrays._reconstruct
        found[f"{package}.multiarray", "scalar"] = arrays.scalar
        found[f"{package}.numeric", "_frombuffer"] = np._core.numeric._frombuffer
    return found


def _latin_bytes(text: str, encoding: str) -> bytes:
    """How old pickles write bytes; no other codec is admitted."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r}")
    return text.encode("latin1")


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that resolves tensor parts and stand-ins, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _admitted():
            return _admitted()[module, name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module == "torch" and name.endswith("Storage"):
            return getattr(torch, name)
        if module.split(".")[0] in STAND_IN_PACKAGES:
            return _stand_in(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _load(stream: io.BufferedIOBase) -> Any:
    """Any torch file, through the restricted unpickler."""
    restricted = SimpleNamespace(
        Unpickler=RestrictedUnpickler,
        load=lambda stream, **options: RestrictedUnpickler(stream, **options).load(),
        __name__="restricted",
    )
    return torch.load(stream, map_location="cpu", pickle_module=restricted, weights_only=False)


def read_pickle(path: Path) -> Any:
    """The content of a torch file, a numpy object file or a plain pickle, with stand-ins.

    Raises:
        InputError: it is missing, broken, or asks for a class that is not admitted.
    """
    require(path, "File", "Check the path.")
    try:
        with open(path, "rb") as stream:
            return _read(stream)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, it asks for {error}; nothing of it was run.") from None
    except BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a readable torch file ({reason}).") from None


def _read(stream: io.BufferedReader) -> Any:
    start = stream.peek(8)
    if start.startswith(b"\x93NUMPY"):
        return _read_numpy(stream)
    if start.startswith(b"PK"):
        # torch.load would hand a scripted module to its own loader, whatever the unpickler.
        if any(name.endswith("constants.pkl") for name in zipfile.ZipFile(stream).namelist()):
            raise pickle.UnpicklingError("a scripted module")
        stream.seek(0)
        return _load(stream)
    first = RestrictedUnpickler(stream).load()
    if not isinstance(first, int):
        return first
    stream.seek(0)  # torch's older format opens with a magic number
    return _load(stream)


def _read_numpy(stream: io.BufferedReader) -> Any:
    """A .npy file; one of objects is a pickle after its header."""
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    shape, _, dtype = read[version[0]](stream)
    if not dtype.hasobject:
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    content = RestrictedUnpickler(stream).load()
    return content.reshape(shape).tolist() if isinstance(content, np.ndarray) else content
