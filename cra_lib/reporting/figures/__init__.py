"""Figures: each a function from a table or records to a matplotlib Figure; no torch.

style      sizes, colours, and `save`, which writes PDF and PNG
datasets   what is asked, how long the evidence is, what could mislead a model
training   losses, validation scores, the learned filter
scores     methods side by side, ablation, bias study, question types
faithfulness  the four outcomes, calibration, whether intervals differ, IoP
blind      intervals that ignore the video, among published methods
spans      where predicted intervals lie, and what the model looks at
catalogue  caption, place and spoken description of each
"""

from cra_lib.reporting.figures.blind import blind_points
from cra_lib.reporting.figures.causal import confounder_scores
from cra_lib.reporting.figures.datasets import (
    answer_cooccurrence,
    evidence_cover,
    evidence_strip,
    playing,
    question_counts,
    segment_ratios,
)
from cra_lib.reporting.figures.faithfulness import (
    calibration,
    faithfulness_bars,
    faithfulness_square,
    iop_curves,
    same_video_overlap,
)
from cra_lib.reporting.figures.scores import ablation_bars, bias_study, by_type, score_points
from cra_lib.reporting.figures.spans import (
    Case,
    answer_strips,
    attention_over_time,
    case_of,
    span_distributions,
)
from cra_lib.reporting.figures.style import Shelf, clear, save
from cra_lib.reporting.figures.training import training_curves, validation_curves
from cra_lib.reporting.looks import in_order

__all__ = [
    "Shelf",
    "ablation_bars",
    "answer_cooccurrence",
    "Case",
    "answer_strips",
    "attention_over_time",
    "bias_study",
    "blind_points",
    "by_type",
    "calibration",
    "case_of",
    "clear",
    "confounder_scores",
    "evidence_cover",
    "evidence_strip",
    "faithfulness_bars",
    "faithfulness_square",
    "in_order",
    "iop_curves",
    "playing",
    "question_counts",
    "same_video_overlap",
    "save",
    "score_points",
    "segment_ratios",
    "span_distributions",
    "training_curves",
    "validation_curves",
]
