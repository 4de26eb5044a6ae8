"""Tables: result files in, DataFrames and their Markdown, CSV and HTML out; no torch.

reading    score reports, histories and predictions as tidy tables
findings   how the claims came out
building   the tables of the paper and of the report
writing    Markdown, CSV and HTML files
"""

from cra_lib.evaluator.metrics import METRICS
from cra_lib.reporting.tables.building import (
    ablation_table,
    bias_table,
    blind_table,
    dataset_table,
    faithfulness_table,
    interval_meaning,
    interval_table,
    labelled,
    main_table,
    question_counts,
    reference_table,
    seed_table,
    type_table,
)
from cra_lib.reporting.tables.findings import (
    BASELINES,
    PARTS,
    came_out,
    compared,
    effect_of_losses,
    say_losses,
    smaller_fall,
)
from cra_lib.reporting.tables.reading import (
    Report,
    ablation,
    examples_by_outcome,
    first_seed,
    iop_of_questions,
    left_out,
    predictions_of,
    random_examples,
    read_histories,
    read_object,
    read_published,
    read_reports,
    read_runtimes,
    read_scores,
    score_table,
)
from cra_lib.reporting.tables.writing import (
    SavedTable,
    to_html,
    to_markdown,
    write_table,
)

__all__ = [
    "BASELINES",
    "METRICS",
    "PARTS",
    "Report",
    "SavedTable",
    "ablation",
    "ablation_table",
    "bias_table",
    "blind_table",
    "came_out",
    "compared",
    "dataset_table",
    "effect_of_losses",
    "examples_by_outcome",
    "faithfulness_table",
    "first_seed",
    "interval_meaning",
    "interval_table",
    "iop_of_questions",
    "labelled",
    "left_out",
    "main_table",
    "predictions_of",
    "question_counts",
    "random_examples",
    "read_histories",
    "read_object",
    "read_published",
    "read_reports",
    "read_runtimes",
    "read_scores",
    "reference_table",
    "say_losses",
    "score_table",
    "seed_table",
    "smaller_fall",
    "to_html",
    "to_markdown",
    "type_table",
    "write_table",
]
