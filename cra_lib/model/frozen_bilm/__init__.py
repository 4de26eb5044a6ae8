"""FrozenBiLM, the paper's second backbone: a frozen masked language model that reads the video.

The frames go before the text as tokens, each candidate answer is one sequence with a mask token,
and the score of a candidate is the probability of "Yes" at the mask. docs/frozen_bilm.md has the
forward pass. Letters beyond those of `cra_lib.model`: N sequences (a video with a text), S tokens
of a sequence: T frames, then L words; A answers of the head.
"""

from cra_lib.model.frozen_bilm.cra import FrozenCRA
from cra_lib.model.frozen_bilm.gaussian import GaussianFrozenBiLM, ReleasedGaussianFrozenBiLM
from cra_lib.model.frozen_bilm.language_model import MaskedLanguageModel, Vocabulary
from cra_lib.model.frozen_bilm.model import FrozenBiLM, SequenceOutput

__all__ = [
    "FrozenBiLM",
    "FrozenCRA",
    "GaussianFrozenBiLM",
    "MaskedLanguageModel",
    "ReleasedGaussianFrozenBiLM",
    "SequenceOutput",
    "Vocabulary",
]
