"""The network. One alphabet for shapes, the same in every file:

B batch, C candidates, L tokens, T frames, S tokens of a sequence, D model width, F frame-feature
width, K visual confounders, J confounder graphs, N texts (of a batch) or the width of a graph node.
"""

from cra_lib.model.assemble import build_model
from cra_lib.model.base import ModelOutput
from cra_lib.model.cra import CRA
from cra_lib.model.temp_clip import TempCLIP

__all__ = ["CRA", "ModelOutput", "TempCLIP", "build_model"]
