"""Lightning Fabric, imported without torchmetrics.

Lightning asks for the version of torchmetrics by importing it, and with it torchvision and scipy's
signal processing: three times the cost of torch itself in every process that trains or predicts.
Only its spike detector uses the answer.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from cra_lib.data.machine import absent

with absent("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.apply_func import apply_to_collection

__all__ = ["DDPStrategy", "Fabric", "apply_to_collection", "make_fabric"]


def make_fabric(**how: Any) -> Fabric:
    """A `Fabric`, without advice on SLURM that does not apply.

    Args:
        how: what `Fabric` takes.
    """
    with warnings.catch_warnings():
        # Wherever srun is installed, Lightning asks for it, also on a login node and in a job of
        # Snakemake's. It is needed only where nobody else starts the processes of several nodes.
        if how.get("num_nodes", 1) == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
            warnings.filterwarnings("ignore", message="The `srun` command is available")
        return Fabric(**how)
