"""Distractors: never the truth, from the right pool, all alike, and fixed by the generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.data.distractors import (
    DistractorSampler,
    draw_distinct,
    group_items,
    index_texts,
    question_class,
)
from cra_lib.records import InputError, Question


def _question(number: int, video: str, text: str, choices: tuple[str, ...], answer: int = 0):
    return Question(video, str(number), text, choices, answer, "CW")


@pytest.fixture
def questions() -> list[Question]:
    """Forty questions of two classes on five videos; every answer has its own text."""
    return [
        _question(
            number,
            f"v{number % 5}",
            f"{'why' if number % 2 else 'how many'} number {number}",
            (f"right {number}", *(f"wrong {number} {other}" for other in range(4))),
        )
        for number in range(40)
    ]


def _sampler(questions, paraphrases=None, **settings) -> DistractorSampler:
    return DistractorSampler(questions, index_texts(questions, paraphrases), **settings)


@given(
    sizes=st.lists(st.integers(5, 40), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_draws_are_distinct_in_range_and_skip_the_excluded(sizes, seed, data):
    exclude = np.array([data.draw(st.integers(0, size - 1)) for size in sizes])
    drawn = draw_distinct(np.random.default_rng(seed), np.array(sizes), 4, exclude)
    for row, size, skipped in zip(drawn.tolist(), sizes, exclude.tolist(), strict=True):
        assert len(set(row)) == 4 and skipped not in row
        assert min(row) >= 0 and max(row) < size


def test_every_allowed_number_is_equally_likely():
    drawn = draw_distinct(np.random.default_rng(0), np.full(20000, 6), 2, np.full(20000, 3))
    shares = np.bincount(drawn.ravel(), minlength=6) / drawn.size
    assert shares[3] == 0
    np.testing.assert_allclose(np.delete(shares, 3), 0.2, atol=0.01)


def test_pools_hold_each_group_once_and_know_where_the_own_item_stands():
    groups, items = np.array([0, 1, 0, 1, 0]), np.array([7, 2, 3, 2, 7])
    pools = group_items(groups, items)
    assert pools.sizes.tolist() == [2, 1]
    own = pools.items[pools.starts[pools.group] + pools.position]
    assert own.tolist() == items.tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what does the man do", "what do"),
        ("what were they", "what is"),
        ("what color is it", "what"),
        ("how many dogs", "how many"),
        ("how did she fall", "how"),
        ("where is he", "where"),
        ("is he there", "other"),
        ("", "other"),
    ],
)
def test_question_class_by_first_words(text, expected):
    assert question_class(text) == expected


def test_candidates_hold_the_truth_once_and_no_duplicates(questions):
    sampler = _sampler(questions)
    for seed in range(20):
        drawn = sampler.draw(np.random.default_rng(seed))
        for row, question in enumerate(questions):
            texts = [sampler.texts.questions[text] for text in drawn.questions[row]]
            assert len(set(texts)) == 5
            assert texts[drawn.question_index[row]] == question.text
            answers = [sampler.texts.answers[text] for text in drawn.answers[row]]
            assert answers.index(question.choices[0]) == 0 and len(set(answers)) == 5


@pytest.mark.parametrize(("chance", "same_video"), [(1.0, True), (0.0, False)])
def test_question_distractors_come_from_the_video_or_the_class(questions, chance, same_video):
    sampler = _sampler(questions, same_video_probability=chance)
    drawn = sampler.draw(np.random.default_rng(3))
    by_text = {question.text: question for question in questions}
    for row, question in enumerate(questions):
        others = [by_text[sampler.texts.questions[text]] for text in drawn.questions[row]]
        if same_video:
            assert {other.video_id for other in others} == {question.video_id}
        else:
            assert {question_class(other.text) for other in others} == {
                question_class(question.text)
            }


def test_replaced_answers_are_right_answers_to_other_questions_of_the_class(questions):
    sampler = _sampler(questions, random_answer_probability=1.0)
    drawn = sampler.draw(np.random.default_rng(0))
    kinds = {question.choices[0]: question_class(question.text) for question in questions}
    for row, question in enumerate(questions):
        for text in drawn.answers[row]:
            assert kinds[sampler.texts.answers[text]] == question_class(question.text)


def test_chances_are_met(questions):
    sampler = _sampler(questions * 50)
    drawn = sampler.draw(np.random.default_rng(0))
    own = (drawn.answers == sampler.texts.choices).all(axis=1)
    assert 0.67 < own.mean() < 0.73
    places = np.bincount(drawn.question_index, minlength=5) / len(drawn.question_index)
    np.testing.assert_allclose(places, 0.2, atol=0.03)


def test_an_answer_that_differs_by_case_only_is_the_truth_too(questions):
    twin = _question(99, "v9", "why number 99", (" RIGHT 1", "a", "b", "c", "d"))
    sampler = _sampler([*questions, twin], random_answer_probability=1.0)
    for seed in range(30):
        texts = sampler.draw(np.random.default_rng(seed)).answers[-1]
        names = [sampler.texts.answers[text].strip().lower() for text in texts]
        assert names.count("right 1") == 1


def test_a_small_video_falls_back_to_the_class(questions):
    lonely = _question(99, "alone", "why number 99", ("x", "a", "b", "c", "d"))
    sampler = _sampler([*questions, lonely], same_video_probability=1.0)
    drawn = sampler.draw(np.random.default_rng(0))
    texts = [sampler.texts.questions[text] for text in drawn.questions[-1]]
    assert len(set(texts)) == 5 and all(text.startswith("why") for text in texts)


def test_paraphrases_replace_the_text_with_their_chance(questions):
    rewritten = {questions[0].key: ["first other words", "second other words"]}
    sampler = _sampler(questions, rewritten, paraphrase_probability=1.0)
    seen = {
        sampler.texts.questions[sampler.draw(np.random.default_rng(seed)).question_text[0]]
        for seed in range(20)
    }
    assert seen == set(rewritten[questions[0].key])
    drawn = sampler.draw(np.random.default_rng(0))
    own = [sampler.texts.questions[text] for text in drawn.question_text[1:]]
    assert own == [question.text for question in questions[1:]]


def test_released_way_lets_the_truth_be_its_own_distractor(questions):
    described = _sampler(questions, same_video_probability=1.0)
    released = _sampler(questions, same_video_probability=1.0, exclude_truth=False)
    doubled = {True: 0, False: 0}
    for sampler in (described, released):
        for seed in range(50):
            drawn = sampler.draw(np.random.default_rng(seed))
            truth = sampler.texts.question_text[:, None]
            doubled[sampler is released] += int(((drawn.questions == truth).sum(axis=1) > 1).sum())
    assert doubled[False] == 0
    # Four of the eight questions on the video are drawn, the true one among them half the time.
    assert doubled[True] / (50 * 40) == pytest.approx(0.5, abs=0.05)


def test_the_same_generator_state_gives_the_same_epoch(questions):
    sampler = _sampler(questions)
    first, again = (sampler.draw(np.random.default_rng(5)) for _ in range(2))
    other = sampler.draw(np.random.default_rng(6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.questions, other.questions)


def test_too_few_questions_or_choices_are_refused(questions):
    with pytest.raises(InputError, match="3 different questions, but 5 candidates"):
        _sampler(questions[:3])
    odd = _question(99, "v9", "why", ("a", "b"))
    with pytest.raises(InputError, match="v9_99 has 2 choices"):
        index_texts([*questions, odd])
    unknown = Question("v1", "98", "why me", tuple("abcde"), None, "CW")
    with pytest.raises(InputError, match="v1_98 has no answer"):
        _sampler([*questions, unknown])
