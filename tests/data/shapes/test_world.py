"""The causal model: what happens, what is asked, and what the habits do to it."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cra_lib.data.shapes.generate import draw_clips, frame_times, questions_of, split_biases
from cra_lib.data.shapes.habits import (
    Bias,
    action_probability,
    habit_share,
    keep_probability,
    noun_habit,
    scene_habit,
)
from cra_lib.data.shapes.questions import ask, propose, segments
from cra_lib.data.shapes.reference import (
    ROWS,
    accuracy,
    blind_weights,
    event_weights,
    frame_weights,
    reference_rows,
    scene_weights,
)
from cra_lib.data.shapes.world import (
    ACTIONS,
    FPS,
    MAX_FRAMES,
    MIN_FRAMES,
    NOUNS,
    SCENES,
    draw_world,
)
from cra_lib.records import InputError

STRENGTHS = st.floats(0, 1)
unhurried = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def clips():
    """Split -> 200 videos of it."""
    return {split: list(draw_clips(split, 200, bias)) for split, bias in split_biases(0.5).items()}


@pytest.fixture(scope="module")
def asked(clips):
    return {
        split: [(clip.world, item) for clip in drawn for item in clip.items]
        for split, drawn in clips.items()
    }


@unhurried
@given(st.integers(0, 2**32))
def test_one_event_at_a_time_and_none_twice(seed):
    world = draw_world(random.Random(seed))
    assert MIN_FRAMES <= world.frame_count <= MAX_FRAMES
    assert world.events[0].start > 0
    assert world.events[-1].end < world.frame_count
    for before, after in zip(world.events, world.events[1:], strict=False):
        assert before.end < after.start
    happened = [(event.actor, event.action) for event in world.events]
    assert len(set(happened)) == len(happened)
    assert len({actor.name for actor in world.actors}) == len(world.actors)


@unhurried
@given(st.integers(0, 2**32))
def test_reactions_follow_at_once_and_nothing_else_does(seed):
    world = draw_world(random.Random(seed))
    for index, event in enumerate(world.events[1:], start=1):
        pause = event.start - world.events[index - 1].end
        assert (pause <= 2) == (event.cause is not None)
        if event.cause is not None:
            assert event.cause == index - 1
            assert world.events[event.cause].actor != event.actor


@unhurried
@given(st.integers(0, 2**32))
def test_weather_covers_whole_events_and_comes_one_kind_at_a_time(seed):
    world = draw_world(random.Random(seed))
    assert len({episode.kind for episode in world.episodes}) == len(world.episodes) >= 1
    for one, two in zip(world.episodes, world.episodes[1:], strict=False):
        assert one.end <= two.start
    for episode in world.episodes:
        touched = [e for e in world.events if e.start < episode.end and episode.start < e.end]
        assert all(episode.start < e.start and e.end < episode.end for e in touched)
        assert len({e.actor for e in touched}) == len(touched) >= 1


@unhurried
@given(st.integers(0, 2**32))
def test_segments_lie_inside_the_video_and_the_stamps_see_each_event_twice(seed):
    rng = random.Random(seed)
    world = draw_world(rng)
    times = frame_times(world)
    assert len(times) == 32 and 0 < times[0] < times[-1] < world.duration
    for event in world.events:
        assert sum(event.start <= int(time * FPS) < event.end for time in times) >= 2
    for item in ask(world, rng, Bias(0, 0)):
        for start, end in segments(world, item):
            assert 0 <= start < end <= world.duration


def test_choices_are_distinct_and_hold_the_answer_once(clips):
    for drawn in clips.values():
        for question in (q for clip in drawn for q in questions_of(clip)):
            assert len(set(question.choices)) == 5
            assert question.choices.count(question.choices[question.answer]) == 1


def test_no_wrong_choice_is_true(clips):
    """Recomputed from the world alone: by time, cause and weather, only the answer holds."""
    for clip in clips["train"]:
        for item in clip.items:
            true = _true_actions(clip.world, item)
            assert [action for action in item.actions if action in true] == [
                item.actions[item.answer]
            ], item.text


def _true_actions(world, item):
    """Actions of the item's actor that hold at all, in the wide sense (any time after, ...)."""
    own = [event for event in world.events if event.actor == item.actor]
    shown = [world.events[index] for index in item.evidence]
    if item.type == "CW":
        return {world.events[shown[1].cause].action}
    if item.type == "CH":
        cause = shown[0].cause
        return {event.action for event in own if event.cause == cause}
    if item.type == "TC":
        weather = world.weather_at(shown[0].start)
        return {event.action for event in own if world.weather_at(event.start) == weather}
    reference = _reference(world, item)
    if item.type == "TN":
        return {event.action for event in own if event.start > reference.start}
    return {event.action for event in own if event.start < reference.start}


def _reference(world, item):
    word = " after " if item.type == "TN" else " before "
    named = item.text.split(word)[1]
    for event in world.events:
        who = "it" if event.actor == item.actor else f"the {world.actors[event.actor].name}"
        if named == f"{who} {ACTIONS[event.action].past}":
            return event
    raise AssertionError(f"no event matches {item.text!r}")


def test_at_least_one_wrong_choice_is_done_by_the_same_actor(asked):
    """So knowing what an actor does, but not when, never gives the answer away."""
    for world, item in asked["test"]:
        assert len(set(world.actions_of(item.actor)) & set(item.actions)) >= 2


def test_half_of_the_distractors_happen_in_the_same_video(asked):
    happening = [
        action in {event.action for event in world.events}
        for world, item in asked["test"]
        for action in item.actions
        if action != item.actions[item.answer]
    ]
    assert sum(happening) / len(happening) > 0.45


def test_every_type_is_asked_in_every_split(asked):
    for questions in asked.values():
        counts = Counter(item.type for _, item in questions)
        assert set(counts) == {"CW", "CH", "TN", "TP", "TC"}
        assert min(counts.values()) > 0.05 * len(questions)


@unhurried
@given(st.sampled_from(NOUNS), st.sampled_from(SCENES), STRENGTHS, STRENGTHS, st.booleans())
def test_asked_actions_are_a_distribution(noun, scene, language, vision, exchanged):
    bias = Bias(language, vision, exchanged)
    assert sum(action_probability(a, noun, scene, bias) for a in ACTIONS) == pytest.approx(1)
    assert max(keep_probability(a, noun, scene, bias) for a in ACTIONS) == pytest.approx(1)


def test_habits_partition_the_actions_and_exchange_to_others():
    for habit, owners in ((noun_habit, NOUNS), (scene_habit, SCENES)):
        assert sorted(action for owner in owners for action in habit(owner)) == sorted(ACTIONS)
        assert all(not set(habit(owner)) & set(habit(owner, True)) for owner in owners)


@pytest.mark.parametrize("split", ["train", "test_iid", "test", "test_ood"])
def test_measured_bias_is_the_bias_that_was_set(split, asked):
    bias, questions = split_biases(0.5)[split], asked[split]
    shares = [habit_share(w.actors[i.actor].noun, w.scene, bias) for w, i in questions]
    answers = [(w, i, i.actions[i.answer]) for w, i in questions]
    in_noun = sum(a in noun_habit(w.actors[i.actor].noun) for w, i, a in answers)
    in_scene = sum(a in scene_habit(w.scene) for w, _, a in answers)
    total = len(questions)
    # Questions on one video are not independent: four standard errors of a share, and some.
    assert in_noun / total == pytest.approx(sum(s for s, _ in shares) / total, abs=0.06)
    assert in_scene / total == pytest.approx(sum(s for _, s in shares) / total, abs=0.06)


def test_without_bias_no_answerer_without_the_video_beats_chance(asked):
    biases = split_biases(0.5)
    for weigh in (blind_weights, scene_weights):
        assert accuracy(asked["test"], weigh, biases["train"]) == pytest.approx(20, abs=4)
        assert accuracy(asked["test"], weigh, biases["test"]) == pytest.approx(20)


def test_a_position_or_frequency_heuristic_does_not_beat_chance_either(asked):
    questions = [item for _, item in asked["test"]]
    for position in range(5):
        share = sum(item.answer == position for item in questions) / len(questions)
        assert share == pytest.approx(0.2, abs=0.04)
    counts = Counter(item.actions[item.answer] for item in questions)
    assert max(counts.values()) / len(questions) < 0.18


def test_ignoring_time_is_bounded_and_bias_orders_the_splits(asked):
    biases = split_biases(0.5)
    known = {split: accuracy(q, event_weights, biases["train"]) for split, q in asked.items()}
    assert 25 < known["test"] < 50
    assert known["test_ood"] < known["test"] < known["test_iid"] < 70
    unordered = accuracy(asked["test"], frame_weights, biases["test"])
    assert known["test"] < unordered < 70
    blind = {split: accuracy(q, blind_weights, biases["train"]) for split, q in asked.items()}
    assert blind["test_iid"] > 28 and blind["test_ood"] < 22


def test_computed_rows_are_the_best_that_can_be_fitted(asked):
    """A table fitted to the training answers by counting does not beat the computed row."""
    table = Counter((w.actors[i.actor].noun, i.actions[i.answer]) for w, i in asked["train"])
    hits = 0
    for world, item in asked["test_iid"]:
        noun = world.actors[item.actor].noun
        hits += max(item.actions, key=lambda a: table[noun, a]) == item.actions[item.answer]
    computed = accuracy(asked["test_iid"], blind_weights, split_biases(0.5)["train"])
    assert 100 * hits / len(asked["test_iid"]) <= computed + 3


def test_full_strength_and_zero_strength(asked):
    full = list(draw_clips("train", 60, Bias(1.0, 1.0)))
    for clip in full:
        for item in clip.items:
            noun = clip.world.actors[item.actor].noun
            habits = {*noun_habit(noun), *scene_habit(clip.world.scene)}
            assert item.actions[item.answer] in habits
    rows = reference_rows({"test": asked["test"]}, {"train": Bias(0, 0), "test": Bias(0, 0)})
    assert rows["learned"]["test"]["blind"] == 20.0
    assert list(rows["informed"]["test"]) == ["chance", *ROWS, "ceiling"]


def test_a_video_does_not_depend_on_how_many_are_drawn():
    bias = Bias(0.6, 0.6)
    assert list(draw_clips("val", 3, bias)) == list(draw_clips("val", 9, bias))[:3]
    assert list(draw_clips("val", 3, bias, seed=1)) != list(draw_clips("val", 3, bias))


def test_a_bias_out_of_range_is_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        split_biases(1.5)


def test_questions_are_short_and_never_offer_what_they_name(clips):
    for clip in clips["val"]:
        for question, item in zip(questions_of(clip), clip.items, strict=True):
            assert len(question.text.split()) <= 17
            assert all(len(choice.split()) <= 7 for choice in question.choices)
            if item.type in ("TN", "TP", "CH"):
                named = {a for a, p in ACTIONS.items() if question.text.endswith(p.past)}
                assert not named & set(item.actions)


def test_proposals_cover_every_cause(clips):
    for clip in clips["val"][:50]:
        kinds = Counter(draft.type for draft in propose(clip.world, random.Random(0)))
        causes = sum(event.cause is not None for event in clip.world.events)
        assert kinds["CW"] <= causes and kinds["CH"] <= causes
