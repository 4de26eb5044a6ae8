"""Which choices follow the habit: every choice of the real generator is understood."""

from __future__ import annotations

import math

import pytest

from cra_lib.data.shapes import reliance
from cra_lib.data.shapes.generate import draw_clips, questions_of
from cra_lib.data.shapes.habits import Bias, noun_habit, scene_habit
from cra_lib.records import InputError


def clips(strength: float):
    return list(draw_clips("train", 60, Bias(strength, strength), seed=3))


def test_under_full_strength_right_answers_follow_the_habit():
    for clip in clips(1.0):
        for question in questions_of(clip):
            follows = reliance.follows_habit(question, clip.world.scene)
            assert follows[question.answer] and len(follows) == 5


def test_share_of_wrong_answers():
    drawn = clips(0.0)
    questions = [q for clip in drawn for q in questions_of(clip)]
    scenes = {clip.video_id: clip.world.scene for clip in drawn}
    right = {q.key: q.answer for q in questions}
    assert all(map(math.isnan, reliance.habit_share(questions, right, scenes)))
    lured, wary = {}, {}
    for question in questions:
        follows = reliance.follows_habit(question, scenes[question.video_id])
        others = [place for place in range(5) if place != question.answer]
        lured[question.key] = max(others, key=lambda place: follows[place])
        wary[question.key] = min(others, key=lambda place: follows[place])
    high, chance = reliance.habit_share(questions, lured, scenes)
    low, same = reliance.habit_share(questions, wary, scenes)
    assert low < chance < high and chance == pytest.approx(same)
    assert 30 < chance < 60


def test_the_actor_is_named_in_the_choice_or_asked_about():
    asked = "why did the red circle jump up"
    assert reliance.actor_noun(asked, "the blue star lit up") == "star"
    assert reliance.actor_noun(
        "what did the red circle do after the blue star lit up", "jump up"
    ) == ("circle")
    assert set(noun_habit("circle")) != set(scene_habit("beach"))


def test_other_choices_are_refused():
    with pytest.raises(InputError, match="no choice of a question about shapes"):
        reliance.action_of("play the guitar")
