"""Every figure and table of the report: where it belongs, what it shows, and how to read it aloud.

The names are file names in ``figures/`` and ``tables/``. Anything listed here that a run does not
have (a dataset without videos, a variant that was not trained) is left out of the report, which
says so.
"""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """One figure or table of the report."""

    section: str
    caption: str
    """May hold ``{over}``: what the intervals of this report are over."""
    alt: str = ""
    """Figures: what a reader who cannot see it is told."""
    datasets: tuple[str, ...] = ("shapes", "nextgqa", "star")
    """Where every run is expected to have it; one seed alone has no table over seeds."""
    notebook: str = "05"
    """Number of the notebook that makes it."""
    otherwise: str = ""
    """What the report says where it is not there."""


SECTIONS = {
    "results": "Results",
    "bias": "Bias study",
    "faithfulness": "Right for the right reason?",
    "grounding": "What the model looks at",
    "training": "Training",
    "data": "Data",
    "confounders": "Confounders",
    "missing": "What is missing for more",
}
"""Section of the report -> its heading, in reading order."""

SHAPES = ("shapes",)
OTHERS = ("nextgqa", "star")
FROM_ANNOTATION = {
    "question_counts", "segment_ratios", "evidence_cover", "answer_cooccurrence", "evidence_strip",
    "question_graph", "node_coverage", "cluster_sizes", "blind_val", "blind_test", "main",
    "intervals", "blind", "dataset", "answer_counts",
}  # fmt: skip
"""What a run makes that has no frame features and trains nothing."""

_BLIND = (
    "Intervals that ignore the video (above the line, with 95 % intervals over resampled videos) "
    "and what papers report on {split}, by supervision, where they do; the dashed line is the best "
    "blind interval."
)
_BLIND_ALT = (
    "Three panels, mIoP, IoP@0.5 and mIoU: a row of points for each blind interval, and for each "
    "kind of supervision that published methods had. The numbers are in the table of {split}."
)

FIGURES = {
    "main_scores": Item(
        "results",
        "Answer accuracy, grounded answer accuracy and mean IoU of every method on the test split. "
        "Lines are 95 % intervals {over}; the dashed lines are chance (Acc@QA) and "
        "the best interval chosen without looking at the video (with CRA's answers).",
        "Three panels of points with interval lines, one row a method: Acc@QA, Acc@GQA and mIoU "
        "on test. The numbers are in the main table.",
    ),
    "ablation": Item(
        "results",
        "What each variant gains or loses against CRA on the test split, question by question. "
        "Lines are paired 95 % intervals {over}; one that crosses zero shows no difference.",
        "Bars left and right of zero, one row a variant, for Acc@QA, Acc@GQA and mIoU. The "
        "numbers are in the ablation table.",
    ),
    "by_type": Item(
        "results",
        "Grounded answer accuracy by question type: CW why, CH how, TN+TP after and before, "
        "TC while.",
        "Grouped bars, one group a question type, one bar a method; the numbers are in the table "
        "by question type.",
    ),
    "blind_test": Item(
        "results", _BLIND.replace("{split}", "test"), _BLIND_ALT.format(split="test"), OTHERS
    ),
    "blind_val": Item(
        "results", _BLIND.replace("{split}", "val"), _BLIND_ALT.format(split="val"), OTHERS
    ),
    "bias_study": Item(
        "bias",
        "Every method where answers follow the training bias, follow none, and follow the reversed "
        "bias. Grey lines, named at their ends, are computed answerers that lack the video, all "
        "but the scene, or time, and know the training bias. Lines are 95 % intervals {over}.",
        "Three panels, for Acc@QA, Acc@GQA and mIoU; three groups of points each, for test_iid, "
        "test and test_ood. The numbers are in the bias table.",
        SHAPES,
    ),
    "outcomes": Item(
        "faithfulness",
        "The four outcomes of one run: answered right or wrong, evidence found or not.",
        "A square of four cells, answer right or wrong by evidence found or not found, with the "
        "share of the questions in each.",
        datasets=(),
        notebook="04",
    ),
    "faithfulness": Item(
        "faithfulness",
        "Of all questions, how many are answered right with the evidence found, right without it, "
        "wrong with it, and wrong without it (test split; found means IoP of at least 0.5).",
        "Stacked bars to 100 %, one row a method, four outcomes; the numbers are in the "
        "faithfulness table.",
    ),
    "calibration": Item(
        "faithfulness",
        "Share of right answers against the confidence in them, on the test split; the closer to "
        "the diagonal, the better a model knows when it is right, and the smaller its expected "
        "calibration error in the legend. Below: how many questions each point stands for; points "
        "of fewer than ten are left out above.",
        "Upper panel: lines around the diagonal of accuracy against confidence, one line a method. "
        "Lower panel: lines of question counts over confidence.",
    ),
    "same_video_overlap": Item(
        "faithfulness",
        "Mean IoU between the intervals for different questions on one test video. A model that "
        "gives every question the same interval is at 100; the dashed line is the annotation.",
        "Bars, one a method, with a dashed line at the value of the ground truth.",
    ),
    "iop_curves": Item(
        "faithfulness",
        "Share of the test questions whose IoP, the part of the predicted interval that is "
        "evidence, is above each value. What a curve has at the dotted line counts as grounded.",
        "Falling curves from IoP 0 to 1, one a method, with a dotted line at 0.5.",
    ),
    "span_distributions": Item(
        "grounding",
        "Where predicted intervals start and how long they are, a row each method that was scored; "
        "the top row is the annotation. A method that always points at the same place is one dark "
        "field; the axes end where no row has half a percent of the test questions.",
        "Two fields of small squares, start and length of the interval relative to the video; one "
        "row a method below the row of the ground truth, darker where more questions lie.",
    ),
    "attention": Item(
        "grounding",
        "Frame weights with and without Gaussian smoothing over one test video each, drawn at "
        "random among the questions that CRA answered right with the evidence found, right "
        "without it, and wrong; frames with a green border and the shaded time hold the evidence.",
        "Up to three blocks, one an outcome: a row of video frames; below it two curves of frame "
        "weight over seconds, and two bars: true and predicted interval.",
    ),
    "training_curves": Item(
        "training",
        "CRA, first seed: the loss terms, the validation scores and the learned width of the "
        "Gaussian filter, by epoch.",
        "Three panels over epochs: loss terms, validation Acc@QA, Acc@GQA and mIoU, and sigma.",
    ),
    "validation_curves": Item(
        "training",
        "Validation answer accuracy of every method over the epochs: the mean over seeds, and a "
        "band from the lowest to the highest where there are several.",
        "One line a method, with a band over seeds: validation Acc@QA over epochs.",
    ),
    "question_counts": Item(
        "data",
        "Questions of each split by type: CW why, CH how, TN after, TP before, TC while or when, "
        "and descriptive ones (DO, DL, DC, DB) where a dataset has them.",
        "Stacked horizontal bars, one a split, coloured by question type; the numbers are in the "
        "dataset table.",
        notebook="01",
    ),
    "segment_ratios": Item(
        "data",
        "Length of the annotated evidence relative to its video, a panel each split; the dashed "
        "line is the mean. The axis covers the tenths that occur.",
        "Histograms of segment length over video length under each other, one a split.",
        notebook="01",
    ),
    "evidence_cover": Item(
        "data",
        "Where in the video evidence lies: percent of the questions whose evidence holds each "
        "place, which is how often a prediction of that one instant would be grounded.",
        "Lines over the video from start to end, one a split, of the share of questions with "
        "evidence there.",
        notebook="01",
    ),
    "answer_cooccurrence": Item(
        "data",
        "How often an answer is right when a word is in the question: what a model can learn "
        "without looking.",
        "Paired horizontal bars: share of questions with each right answer, for two words.",
        notebook="01",
    ),
    "evidence_strip": Item(
        "data",
        "Frames of one video, the first question about it with its right answer, and the interval "
        "that holds the evidence (green).",
        "Question and answer, four video frames in a row, and a time axis with the evidence "
        "marked.",
        notebook="01",
    ),
    "question_graph": Item(
        "confounders",
        "One training question as the graph of eight parts that linguistic confounders are "
        "sampled from.",
        "Eight labelled nodes, from question to answer, joined by twelve arrows.",
        notebook="02",
    ),
    "node_coverage": Item(
        "confounders",
        "Share of the training questions in which each of the eight parts was found.",
        "Horizontal bars, one for each of the eight parts of a question graph.",
        notebook="02",
    ),
    "nearest_frames": Item(
        "confounders",
        "Training frames nearest to three visual confounders, a row each.",
        "Three rows of video frames; the frames of a row look alike.",
        notebook="02",
    ),
    "cluster_sizes": Item(
        "confounders",
        "Training questions and frames of each cluster, largest cluster first (logarithmic axis).",
        "Two falling lines, questions and frames: items of a cluster against its rank.",
        notebook="02",
    ),
    "confounder_number": Item(
        "confounders",
        "Mean squared distance of a question graph to its centre for several numbers of "
        "confounders K; the dotted line is the K in use.",
        "A line that falls as K grows, with a dotted line at the K in use.",
        datasets=(),
        notebook="02",
    ),
    "confounder_scores": Item(
        "confounders",
        "Scores of CRA on the test split against the number of confounders K, everything else "
        "being equal; bands are 95 % intervals {over}.",
        "Three lines with bands, Acc@QA, Acc@GQA and mIoU, over the number of confounders K.",
        datasets=(),
        otherwise="Scores against the number of confounders are drawn once CRA was trained with "
        "several: docs/causal.md says how.",
    ),
}

_BLIND_TABLE = (
    "Blind intervals (95 % intervals over resampled videos) and all published rows, {split}. Blind "
    "Acc@GQA is what the best blind interval would have with answers as often right, were these "
    "independent of the evidence; a method that is not above it has not shown that it looks."
)

TABLES = {
    "main": Item(
        "results",
        "Scores on the test split in percent; published rows, where they exist, beside ours.",
    ),
    "intervals": Item(
        "results",
        "The three headline scores on the test split with 95 % intervals {over}.",
    ),
    "ablation": Item(
        "results",
        "Difference to CRA on the test split in percentage points, with paired 95 % intervals "
        "{over}.",
    ),
    "by_type": Item(
        "results",
        "Acc@GQA in percent by question type, on the test split: CW why, CH how, TN+TP after and "
        "before, TC while.",
    ),
    "blind": Item(
        "results",
        "Intervals chosen without looking at the video, with the answers of the first method of "
        "the main table, on the test split.",
    ),
    "blind_test": Item("results", _BLIND_TABLE.format(split="test"), datasets=OTHERS),
    "blind_val": Item("results", _BLIND_TABLE.format(split="val"), datasets=OTHERS),
    "seeds": Item(
        "results", "Mean and standard deviation over seeds, on the test split.", datasets=()
    ),
    "bias": Item(
        "bias",
        "Scores by split: bias as trained (test_iid), none (test), reversed (test_ood), with 95 % "
        "intervals {over}.",
        datasets=SHAPES,
    ),
    "references": Item(
        "bias",
        "Acc@QA in percent of computed answerers that know the training bias.",
        datasets=SHAPES,
    ),
    "faithfulness": Item(
        "faithfulness",
        "Answer right or wrong, evidence found (IoP of at least 0.5) or not: "
        "the four outcomes in percent of all test questions.",
    ),
    "dataset": Item("data", "The dataset: counts and mean lengths per split.", notebook="01"),
    "answer_counts": Item(
        "data",
        "The most frequent right answers to training questions that mention both words of the "
        "figure above, counted as the paper's Fig. 1b does.",
        notebook="01",
    ),
    "oddities": Item(
        "data", "Everything odd that the check of the files has found.", datasets=(), notebook="01"
    ),
    "missing": Item(
        "missing",
        "What is not on this machine, how large it is (estimates for models and features), where "
        "it comes from, and what works without it.",
        datasets=(),
        notebook="01",
    ),
}
