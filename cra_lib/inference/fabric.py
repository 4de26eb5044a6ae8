"""Lightning Fabric, imported without torchmetrics.

Lightning asks for the version of torchmetrics by importing it, and with it torchvision and scipy's
signal processing: three times the cost of torch itself in every process that trains or predicts.
Only its spike detector uses the answer.
"""

from __future__ import annotations

from cra_lib.data.machine import absent

with absent("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.apply_func import apply_to_collection

__all__ = ["DDPStrategy", "Fabric", "apply_to_collection"]
