"""What prediction files look like against the annotation: refusals, and notes for the reader.

A file that cannot be meant is refused; one that may be meant (some answers missing, intervals in
what looks like another unit) is scored, with a note that says what was seen and which option or
correction would fit. Every sentence names the file and a question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cra_lib.evaluator.readers import GIVEN, Loaded
from cra_lib.records import InputError, Prediction, Truth

MANY = 20
"""From so many values on, what none of them has says something."""


class Kind(NamedTuple):
    """One thing that predictions may carry."""

    name: str
    article: str
    given: Callable[[Prediction], bool]


KINDS = (
    Kind("answer", "an", lambda p: p.answer is not None),
    Kind("interval", "an", lambda p: bool(p.spans)),
    Kind("weights over frames", "", lambda p: p.frame_weights is not None),
)
ANSWER, INTERVAL, WEIGHTS = KINDS


def refuse_impossible(part: Loaded, truths: Mapping[str, Truth], remedy: str = "") -> None:
    """Refuse a file that is about other questions, or says what cannot be.

    Args:
        remedy: what else to do about intervals that end before they start; "" lets them pass.

    Raises:
        InputError: naming the file, and the first question at fault.
    """
    known = [p for key, p in part.predictions.items() if key in truths]
    for kind in KINDS:
        carried = [p for p in part.predictions.values() if kind.given(p)]
        if carried and not any(p.key in truths for p in carried):
            raise _other_questions(part, len(carried), carried[0].key, truths)
    if not known:
        first = next(iter(part.predictions), None) or next(iter(part.strangers), None)
        raise _other_questions(part, len(part.predictions) + len(part.strangers), first, truths)
    counted_from_one = _counts_from_one(known, truths)
    for prediction in known:
        _refuse_answer(prediction, truths[prediction.key], part.path, counted_from_one)
        _refuse_reversed(prediction, part.path, remedy)


def _other_questions(
    part: Loaded, count: int, first: str | None, truths: Mapping[str, Truth]
) -> InputError:
    return InputError(
        f"{part.path}: none of the {count:,} predictions (first key: {first!r}) is about the "
        f"{len(truths):,} questions scored (first key: {next(iter(truths))!r}); "
        "is it of another split?"
    )


def _refuse_answer(prediction: Prediction, truth: Truth, path: str, from_one: bool) -> None:
    answer, count = prediction.answer, truth.num_choices
    if answer is None or (0 <= answer and (not count or answer < count)):
        return
    expected = f"0 to {count - 1}" if count else "0 or more"
    remedy = (
        "no answer of the file is 0: are they counted from 1? Subtract 1 from each"
        if from_one
        else "correct it"
    )
    raise InputError(
        f"{path}, key {prediction.key!r}: answer {answer} is no index of a choice ({expected}); "
        f"{remedy}."
    )


def _refuse_reversed(prediction: Prediction, path: str, remedy: str) -> None:
    for rule, span in prediction.spans.items():
        if remedy and span.end < span.start:
            raise InputError(
                f"{path}, key {prediction.key!r}: the {rule} interval {list(span)} ends before it "
                f"starts; {remedy}."
            )


def _counts_from_one(known: Iterable[Prediction], truths: Mapping[str, Truth]) -> bool:
    answers = [p.answer for p in known if p.answer is not None and truths[p.key].num_choices]
    return bool(answers) and min(answers) > 0


def notes(
    parts: Sequence[Loaded], truths: Mapping[str, Truth], fractions: bool, official: bool
) -> list[str]:
    """What a reader of the scores should know about the files, one sentence each."""
    found: list[str] = []
    for part in parts:
        known = {key: p for key, p in part.predictions.items() if key in truths}
        found += _about_units(part.path, known, truths, fractions)
        found += _about_first_choice(part.path, known, truths)
        found += _about_stated(part, truths)
    return found + list(_missing(parts, truths, official))


def _about_units(
    path: str, known: Mapping[str, Prediction], truths: Mapping[str, Truth], fractions: bool
) -> Iterator[str]:
    ends = {key: p.spans[GIVEN].end for key, p in known.items() if GIVEN in p.spans}
    if len(ends) < 5:
        return
    key, last = max(ends.items(), key=lambda item: item[1])
    seen = f"{path}: intervals end at up to {last:g} (key {key!r})"
    times = np.array(list(ends.values())) / np.array([truths[k].duration for k in ends])
    middle = float(np.median(times))
    if fractions:
        if np.median(list(ends.values())) > 1.6:
            yield f"{seen}, which is no fraction of a video; leave out --fractions for seconds."
    elif len(ends) >= MANY and last <= 1.6:
        yield f"{seen}: no interval ends after 1.6 s; if they are fractions, add --fractions."
    elif middle > 3:
        unit = "milliseconds" if middle > 200 else "frame numbers"
        yield (
            f"{seen}, half of them {middle:.0f} times the video's length or more; they look like "
            f"{unit}: convert them to seconds."
        )


def _about_first_choice(
    path: str, known: Mapping[str, Prediction], truths: Mapping[str, Truth]
) -> Iterator[str]:
    answers = [p.answer for p in known.values() if p.answer is not None]
    if len(answers) >= MANY and min(answers) > 0:
        first = next(key for key, p in known.items() if p.answer is not None)
        yield (
            f"{path}: none of {len(answers):,} answers is 0 (first: {first!r}); if choices are "
            "counted from 1, subtract 1 from each."
        )


def _about_stated(part: Loaded, truths: Mapping[str, Truth]) -> Iterator[str]:
    differ = [
        key
        for key, index in part.stated_answers.items()
        if key in truths and index != truths[key].answer
    ]
    if differ:
        yield (
            f"{part.path}: {len(differ):,} right answers stated in the file differ from the "
            f"annotation (first: {differ[0]!r}); the annotation counts."
        )


def _missing(parts: Sequence[Loaded], truths: Mapping[str, Truth], official: bool) -> Iterator[str]:
    """For each kind that files carry: how many of the questions have none of it."""
    for kind in KINDS:
        having = [
            (part.path, {key for key, p in part.predictions.items() if kind.given(p)})
            for part in parts
        ]
        paths = [path for path, keys in having if keys]
        keys = set().union(*(keys for _, keys in having))
        lacking = [key for key in truths if key not in keys]
        if not paths or not lacking:
            continue
        outcome = "they are left out" if official and kind is not ANSWER else "they count as wrong"
        noun = kind.name if not kind.article else f"no {kind.name}"
        noun = noun if kind.article else f"no {noun}"
        yield (
            f"{', '.join(paths)}: {noun} for {len(lacking):,} of {len(truths):,} questions "
            f"(first: {lacking[0]!r}); {outcome}."
        )
