"""Tables: result files in, DataFrames and their Markdown, CSV and HTML out; no torch.

reading    score reports, histories and predictions as tidy tables
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
    interval_table,
    labelled,
    main_table,
    question_counts,
    reference_table,
    seed_table,
    type_table,
)
from cra_lib.reporting.tables.reading import (
    Report,
    ablation,
    first_seed,
    iop_of_questions,
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
    "METRICS",
    "Report",
    "SavedTable",
    "ablation",
    "ablation_table",
    "bias_table",
    "blind_table",
    "dataset_table",
    "faithfulness_table",
    "first_seed",
    "interval_table",
    "iop_of_questions",
    "labelled",
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
    "score_table",
    "seed_table",
    "to_html",
    "to_markdown",
    "type_table",
    "write_table",
]
