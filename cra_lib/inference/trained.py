"""Any trained model, ready to be asked: a run, a model folder, a hub repository, a shipped one."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from cra_lib.config import SpanConfig
from cra_lib.config.files import load_config
from cra_lib.evaluator.annotations import NUM_FRAMES, stamps_from_count
from cra_lib.inference.familiar import read_familiar
from cra_lib.inference.known import Known, read_known
from cra_lib.inference.light import light_tower, tokenizer_for
from cra_lib.model import build_model
from cra_lib.model.base import Pretrained
from cra_lib.model.saving import load_pretrained, model_folder
from cra_lib.paths import RunFiles
from cra_lib.records import InputError
from cra_lib.video.encoders import FrameEncoder, load_encoder

DEFAULT_MODEL = "cra-shapes"
"""The model that comes with the library: trained on the embedded dataset, good for that only."""
ENCODER_OF_WIDTH = {768: "clip-vit-l14", 2048: "resnet50"}
"""What a folder without known.json and config.yaml was most likely trained on."""


class TrainedModel:
    """A model with everything around it that turns a video file and a question into an answer.

    Args:
        source: a run's folder, a model folder, a hub repository or a shipped model's name.
        encoder: frame encoder; None takes the one that the model was trained with.
        encoder_weights: local weights of the encoder, as `load_encoder` takes them.
        device: where model and encoder lie, a torch name.

    Raises:
        InputError: nothing there, or a folder that is damaged.
    """

    def __init__(
        self,
        source: str | Path = DEFAULT_MODEL,
        *,
        encoder: str | None = None,
        encoder_weights: Path | None = None,
        device: str = "cpu",
    ):
        self.folder, self.name, self.device = model_folder(source), str(source), device
        run = RunFiles(self.folder)
        settings = load_config(run.config) if run.config.is_file() else None
        self.known: Known | None = read_known(self.folder)
        model = load_pretrained(self.folder, build_model, Pretrained, light_tower)
        self.model = model.to(device)
        origin = settings or self.known
        about = settings.data if settings else self.known
        self._encoder = encoder or (about.encoder if about else None)
        self._encoder_weights = encoder_weights
        of_shapes = "shapes" in self.model.settings.text_encoder
        self._shapes = origin.dataset == "shapes" if origin else of_shapes
        self.num_frames: int = self.known.num_frames if self.known else NUM_FRAMES
        self.span: SpanConfig | None = origin.span if origin else None
        # The folder of a repository in the hub's cache is named after a commit.
        name = self.folder.name if Path(source).expanduser().is_dir() else self.name
        self.title = f"{settings.variant}, seed {settings.seed}" if settings else name
        self.tokenizer: Any = tokenizer_for(self.model.settings)
        self.familiar = read_familiar(self.folder)

    def stamps(self, frame_count: int, fps: float, duration: float) -> list[float]:
        """Seconds of the frames that the model's own dataset would take of such a video.

        The embedded dataset takes the middles of equal parts, NExT-GQA and STAR follow the stamp
        rule of NExT-GQA.
        """
        if self._shapes:
            middles = (number + 0.5 for number in range(self.num_frames))
            return [round(middle * duration / self.num_frames, 3) for middle in middles]
        return list(stamps_from_count(frame_count, fps, self.num_frames))

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The frame encoder, loaded when the first video comes.

        Raises:
            InputError: not known, weights that are absent, or features of another width.
        """
        width = self.model.feature_width
        name = self._encoder or ("shapes-clip" if self._shapes else ENCODER_OF_WIDTH.get(width))
        if name is None:
            raise InputError(
                f"{self.folder} does not say which frame encoder it was trained with, and features "
                f"{width} wide could be any; name it (encoder)."
            )
        encoder = load_encoder(name, self._encoder_weights, self.device)
        if encoder.width != width:
            raise InputError(
                f"The encoder {name!r} gives features {encoder.width} wide, but the model of "
                f"{self.folder} takes {width}; use the encoder that it was trained with."
            )
        return encoder
