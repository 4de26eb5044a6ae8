"""Comparing two prediction files question by question."""

from __future__ import annotations

import pytest

from cra_lib.evaluator.comparison import compare
from cra_lib.records import InputError, Prediction, Span, Truth

TRUTHS = {
    f"{n // 2}_{n}": Truth(f"{n // 2}_{n}", str(n // 2), 0, (Span(0, 4),), 9.0, "CW", 5)
    for n in range(40)
}
RULES = ("post-hoc", "post-hoc")


def predictions(right, span=(0, 4)):
    return {
        key: Prediction(key, 0 if right(number) else 1, spans={"post-hoc": Span(*span)})
        for number, key in enumerate(TRUTHS)
    }


def test_wins_losses_and_tests_agree_with_counts():
    result = compare(
        predictions(lambda n: n < 20), predictions(lambda n: 5 <= n < 35), TRUTHS, RULES
    )
    keys = list(TRUTHS)
    assert result["wins"] == keys[20:35] and result["losses"] == keys[:5]
    row = result["metrics"]["Acc@GQA"]
    assert (row["first"], row["second"], row["difference"]) == (50.0, 75.0, 25.0)
    assert -10 < row["low"] < 25 < row["high"] < 60
    assert result["mcnemar"]["Acc@QA"]["only_second"] == 15
    assert result["metrics"]["mIoU"]["p_value"] == 1.0


def test_missing_questions_are_wrong_unless_only_common_ones_count():
    first = predictions(lambda n: True)
    second = {key: p for key, p in list(first.items())[:10]}
    assert compare(first, second, TRUTHS, RULES)["metrics"]["Acc@QA"]["difference"] == -75.0
    common = compare(first, second, TRUTHS, RULES, common=True)
    assert common["metrics"]["Acc@QA"]["difference"] == 0.0 and common["header"]["questions"] == 10


def test_answers_alone_compare_answers_alone():
    first = {key: Prediction(key, 0) for key in TRUTHS}
    result = compare(first, predictions(lambda n: n != 3), TRUTHS, (None, "post-hoc"))
    assert list(result["metrics"]) == ["Acc@QA"] == list(result["mcnemar"])
    assert result["losses"] == ["1_3"]


def test_files_with_nothing_in_common_are_refused():
    first, second = predictions(lambda n: True), {"0_0": Prediction("0_0", 1)}
    with pytest.raises(InputError, match="No question is predicted by both"):
        compare({"0_1": first["0_1"]}, second, TRUTHS, RULES, common=True)
