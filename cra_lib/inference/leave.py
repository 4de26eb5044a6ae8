"""What training leaves beside its weights, so that the model can be asked about any video."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safetensors.numpy import load_file

from cra_lib.config import RunConfig
from cra_lib.data.batches import Split
from cra_lib.inference.familiar import learn_familiar, write_familiar
from cra_lib.inference.known import learned, longest_video, write_known
from cra_lib.paths import DataFiles


def leave_known(folders: Iterable[Path], config: RunConfig, data: DataFiles, split: Split) -> None:
    """Write known.json and, where visual confounders were sampled, known.safetensors.

    Args:
        split: the training split.
    """
    questions = split.questions
    known = learned(config, questions, split.features.shape[1], longest_video(data, questions))
    familiar = None
    if data.visual_confounders.is_file():
        centres = load_file(data.visual_confounders)["centres"]
        if centres.shape[1] == split.features.shape[2]:
            familiar = learn_familiar(split.features.numpy(), centres)
    for folder in folders:
        write_known(folder, known)
        if familiar is not None:
            write_familiar(folder, familiar)
