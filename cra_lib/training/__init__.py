"""Training, on Lightning Fabric. Read `steps` (the method), then `loop` (epochs and runs).

`setup` puts a run together, `feed` brings batches to the device, `state` resumes a killed run,
`log` writes what happened. Nothing else knows about devices but `cra_lib.inference.predict`.
"""

from cra_lib.training.loop import fit, train_one_epoch
from cra_lib.training.state import STOPPED
from cra_lib.training.steps import Objective, step_losses

__all__ = [
    "STOPPED",
    "Objective",
    "fit",
    "step_losses",
    "train_one_epoch",
]
