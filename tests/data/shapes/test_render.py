"""Frames show what the world says, and only that."""

import random

import numpy as np
import pytest

from cra_lib.data.shapes.captions import (
    TOPICS,
    caption,
    draw_shot,
    labels,
    phrase,
    render_shot,
    vocabulary,
)
from cra_lib.data.shapes.generate import draw_clips, questions_of, split_biases
from cra_lib.data.shapes.render import SIZE, action_amount, draw_frame, render_frames
from cra_lib.data.shapes.world import ACTIONS, COLOURS, NOUNS, SCENES, WEATHER, Actor, Event


def scene_with(action=None, scene="beach", noun="circle", weather=None):
    """The middle actor does something, another one stands by."""
    actors = (Actor("red", noun, 48), Actor("blue", "square", 16))
    event = Event(0, action, 0, 1) if action else None
    return draw_frame(scene, actors, event, 1.0, weather).astype(int)


def differing_pixels(one, two):
    return int((np.abs(one - two).max(axis=2) > 40).sum())


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("noun", NOUNS)
def test_every_action_of_every_noun_can_be_seen_in_every_scene(scene, action, noun):
    assert differing_pixels(scene_with(action, scene, noun), scene_with(None, scene, noun)) >= 40


@pytest.mark.parametrize("noun", NOUNS)
def test_no_two_actions_look_alike(noun):
    frames = [scene_with(action, "city", noun) for action in ACTIONS]
    for index, frame in enumerate(frames):
        assert all(differing_pixels(frame, other) >= 40 for other in frames[:index])


def test_scenes_weather_and_nouns_can_be_told_apart():
    for variants in (
        [scene_with(scene=scene) for scene in SCENES],
        [scene_with(weather=weather) for weather in (None, *WEATHER)],
        [scene_with(noun=noun) for noun in NOUNS],
    ):
        for index, frame in enumerate(variants):
            assert all(differing_pixels(frame, other) >= 20 for other in variants[:index])


def test_an_action_changes_nothing_at_the_other_actor():
    still, acting = scene_with(None), scene_with("umbrella")
    assert differing_pixels(still[:, :28], acting[:, :28]) == 0


def test_evidence_is_visible_throughout_and_actors_are_idle_outside_events():
    """Frames outside every event look like standing; all frames of an event differ from that."""
    clip = next(draw_clips("test", 1, split_biases(0.5)["test"]))
    world = clip.world
    for number, frame in enumerate(render_frames(world)):
        event, weather = world.event_at(number), world.weather_at(number)
        idle = [draw_frame(world.scene, world.actors, None, 0, weather, s) for s in (-1, 0, 1)]
        difference = min(differing_pixels(frame.astype(int), i.astype(int)) for i in idle)
        assert (difference >= 15) == (event is not None), f"frame {number}: {event}"


def test_rendering_is_deterministic_and_of_the_declared_size():
    clip = next(draw_clips("val", 1, split_biases(0.5)["val"]))
    first, second = list(render_frames(clip.world)), list(render_frames(clip.world))
    assert len(first) == clip.world.frame_count
    assert first[0].shape == (SIZE, SIZE, 3) and first[0].dtype == np.uint8
    assert all((one == two).all() for one, two in zip(first, second, strict=True))


def test_noise_is_each_frames_own_and_as_strong_as_asked():
    world = next(draw_clips("val", 1, split_biases(0.5)["val"])).world
    clean = np.stack(list(render_frames(world))).astype(float)
    noisy = np.stack(list(render_frames(world, 10.0))).astype(float)
    added = (noisy - clean)[(clean > 60) & (clean < 195)]
    assert abs(added.mean()) < 0.1 and abs(added.std() - 10) < 0.1
    assert len({frame.tobytes() for frame in noisy}) == len(noisy)
    assert (noisy == np.stack(list(render_frames(world, 10.0)))).all()


def test_actions_build_up_and_end():
    event = Event(0, "flag", 10, 20)
    amounts = [action_amount(event, frame) for frame in range(10, 20)]
    assert amounts == amounts[::-1]
    assert 0.4 < amounts[0] < amounts[1] < amounts[2] == 1.0


def test_shots_cover_every_label_and_every_label_has_words():
    rng = random.Random(0)
    shots = [draw_shot(rng) for _ in range(4000)]
    for topic in TOPICS:
        assert {shot.label(topic) for shot in shots} == set(labels(topic))
        plain = [caption(topic, label) for label in labels(topic)]
        assert len(set(plain)) == len(plain)
        assert all(phrase(topic, label, rng) for label in labels(topic))


def test_a_shot_is_a_lossy_frame():
    shot = draw_shot(random.Random(1))
    frame = render_shot(shot, random.Random(1))
    clean = draw_frame(*shot)
    assert frame.shape == clean.shape and frame.dtype == np.uint8
    assert 0 < np.abs(frame.astype(int) - clean.astype(int)).mean() < 10


def test_the_vocabulary_covers_every_question_and_choice():
    known = set(vocabulary())
    assert known >= {*COLOURS, *NOUNS} and len(known) < 120
    for split, bias in split_biases(0.5).items():
        for clip in draw_clips(split, 40, bias):
            for question in questions_of(clip):
                words = {w for text in (question.text, *question.choices) for w in text.split()}
                assert words <= known
