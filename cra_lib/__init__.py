"""Cross-modal Causal Relation Alignment (CRA) for video question grounding."""

import os

__version__ = "0.1.0"

# Else transformers reports, at every load, the pooler that no model here reads as missing.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
