"""Cross-modal Causal Relation Alignment (CRA) for video question grounding."""

__version__ = "0.1.0"
