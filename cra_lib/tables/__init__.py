"""Tables: result files in, DataFrames and their Markdown, CSV and HTML out; no torch.

reading    score reports, histories and predictions as tidy tables
building   the tables of the paper and of the report
writing    files, and the README's result table
"""

from cra_lib.tables.building import (
    ablation_table,
    answer_cooccurrence,
    bias_table,
    blind_table,
    dataset_statistics,
    faithfulness_table,
    interval_table,
    labelled,
    main_table,
    question_counts,
    reference_table,
    seed_table,
    segment_ratios,
    type_table,
)
from cra_lib.tables.reading import (
    Report,
    ablation,
    iop_of_questions,
    predictions_of,
    read_histories,
    read_object,
    read_published,
    read_reports,
    read_runtimes,
    read_scores,
    score_table,
)
from cra_lib.tables.writing import (
    SavedTable,
    to_html,
    to_markdown,
    write_readme,
    write_table,
)

__all__ = [
    "Report",
    "SavedTable",
    "ablation",
    "ablation_table",
    "answer_cooccurrence",
    "bias_table",
    "blind_table",
    "dataset_statistics",
    "faithfulness_table",
    "interval_table",
    "iop_of_questions",
    "labelled",
    "main_table",
    "predictions_of",
    "question_counts",
    "read_histories",
    "read_object",
    "read_published",
    "read_reports",
    "read_runtimes",
    "read_scores",
    "reference_table",
    "score_table",
    "seed_table",
    "segment_ratios",
    "to_html",
    "to_markdown",
    "type_table",
    "write_readme",
    "write_table",
]
