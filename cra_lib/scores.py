"""The score report: one JSON document that says all there is to say about one prediction file.

``cra evaluate --json`` and ``scores_<split>.json`` are both the dict that `score_report` returns::

    {"header": {"split": "test", "rules": ["post-hoc", ...], "stamps": "frame2time",
                "questions": 5553, "videos": 990, "official": false, ...},
     "rules": {"post-hoc": {"Acc@GQA": 18.2, "Acc@QA": 61.1, "mIoP": ..., "IoP@0.3": ...,
                            "IoP@0.5": ..., "mIoU": ..., "IoU@0.3": ..., "IoU@0.5": ...,
                            "questions": 5553, "skipped": 0}},
     "intervals": {"post-hoc": {"Acc@GQA": [17.1, 19.3], ...}},
     "by_type": {"post-hoc": {"CW": {metrics as above}, "CH": ..., "TN+TP": ..., "TC": ...,
                              "causal": ..., "temporal": ...}},
     "faithfulness": {"post-hoc": {"right and grounded": 18.2, "right but ungrounded": 42.9,
                                   "wrong but grounded": ..., "wrong and ungrounded": ...,
                                   "faithful rate": ..., "UF@0.3": ..., "UF@0.5": ...}},
     "same_video_overlap": {"post-hoc": 64.3, ..., "truth": 16.4},
     "calibration": {"error": 4.1, "bins": [{"low", "high", "questions", "confidence",
                                             "accuracy"}, ...]},
     "span_histograms": {"post-hoc": {"start": [20 shares], "length": [20 shares]}, "truth": ...},
     "blind": {"middle third": {metrics as above}, ...}}

Everything is in percent. ``header`` holds whatever the caller gives beside the counts. A part
that the inputs do not allow is an empty dict (``intervals`` without a bootstrap, ``calibration``
without probabilities), and a metric that needs answers or intervals nobody gave is null. The
95 % ``intervals`` come from resampling videos. ``faithful rate`` is Acc@GQA / Acc@QA; ``UF@x`` is
the share answered right with IoP below x. ``same_video_overlap`` is the mean IoU between the
intervals of two questions on one video: near 100, the model does not listen to the question.
``span_histograms`` count start and length as fractions of the video, in twenty equal bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cra_lib.records import Prediction, Truth


def score_report(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
    rules: Sequence[str] | None = None,
    header: Mapping[str, Any] | None = None,
    bootstrap: int = 0,
    official: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one set of predictions; the module's docstring describes the result.

    Args:
        rules: span rules to score; None scores every rule that the predictions carry.
        header: what the report should say about its inputs (split, stamps, files, ...).
        bootstrap: number of resamplings for ``intervals``; 0 leaves them out.
        official: leave out questions without a prediction, as the official script does.

    Raises:
        InputError: no prediction is about these questions, or none carries a rule.
    """
    raise NotImplementedError
