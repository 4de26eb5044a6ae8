"""Sentences about worlds that are drawn for it: what the language model `shapes-lm` learns from.

A story is a world told in captions, one for each of the moments at which a video would be sampled,
and sentences about it in the wording of prompts: questions with a right or a wrong answer, and
plain statements. Worlds come from a generator of their own, never from a dataset's videos.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from cra_lib.data.prompts import answer_prompt, asked, question_prompt, sentence_case
from cra_lib.data.shapes.captions import NOTHING, PLACES, Shot, vocabulary
from cra_lib.data.shapes.habits import NO_BIAS
from cra_lib.data.shapes.questions import Item, ask
from cra_lib.data.shapes.world import ACTIONS, WEATHER, Actor, Event, World, draw_world

MOMENTS = 32
KINDS = ("yes or no", "answer", "question", "statement", "which question")
"""What is masked: the answer to the prompt; the right answer; some words of the question; who acts
or what is done in a statement; the answer to "can the video answer this question?"."""
SHARES = (0.25, 0.3, 0.05, 0.35, 0.05)


class Story(NamedTuple):
    """A world in words."""

    moments: tuple[str, ...]
    """One caption for each of MOMENTS times; it will stand as a single token."""
    world: World
    items: tuple[Item, ...]


class Sentence(NamedTuple):
    """A text in which some words are to be found."""

    text: str
    kind: str
    hidden: str
    """The words to hide, as they stand in the text; all of them, or some of them by chance."""


def draw_story(rng: random.Random) -> Story:
    """A story with at least one question."""
    while True:
        world = draw_world(rng)
        items = tuple(ask(world, rng, NO_BIAS))
        if items:
            step = world.frame_count / MOMENTS
            times = [int((place + 0.5) * step) for place in range(MOMENTS)]
            return Story(tuple(caption_at(world, time) for time in times), world, items)


def caption_at(world: World, frame: int) -> str:
    """What can be seen at one moment: who does what, where, in which weather."""
    return _told(world.scene, world.actors, world.event_at(frame), world.weather_at(frame))


def caption_of(shot: Shot) -> str:
    """The same of a single drawn frame."""
    return _told(shot.scene, shot.actors, shot.event, shot.weather)


def _told(scene: str, actors: Sequence[Actor], event: Event | None, weather: str | None) -> str:
    happens = "nothing happens"
    if event is not None:
        happens = f"the {actors[event.actor].name} {ACTIONS[event.action].present}"
    return " ".join([happens, PLACES[scene], *([] if weather is None else [WEATHER[weather]])])


def draw_sentence(story: Story, others: Story, rng: random.Random) -> Sentence:
    """One sentence about a story; ``others`` gives questions that do not belong to it."""
    kind = rng.choices(KINDS, SHARES)[0]
    item = rng.choice(story.items)
    right = item.choices[item.answer]
    if kind == "statement":
        event = rng.choice(story.world.events)
        name = story.world.actors[event.actor].name
        action = ACTIONS[event.action].past
        return Sentence(f"The {name} {action}.", kind, rng.choice((name, action)))
    if kind == "which question":
        true = rng.random() < 0.5
        text = asked(item.text if true else rng.choice(others.items).text)
        return _spoken(question_prompt(text, "{}"), kind, "Yes" if true else "No")
    if kind == "yes or no":
        true = rng.random() < 0.5
        choice = right if true else rng.choice([c for c in item.choices if c != right])
        return _spoken(answer_prompt(item.text, choice, "{}"), kind, "Yes" if true else "No")
    hidden = sentence_case(right) if kind == "answer" else asked(item.text)
    return _spoken(answer_prompt(item.text, right, "{}"), kind, "Yes")._replace(hidden=hidden)


def words() -> list[str]:
    """Every word of captions, questions, answers and prompts, in alphabetical order."""
    found = {word for text in (*PLACES.values(), *WEATHER.values()) for word in text.split()}
    prompt = " ".join((*answer_prompt("a", "a", "a"), *question_prompt("a", "a")))
    letters = "".join(sign if sign.isalpha() else " " for sign in prompt.lower())
    found |= set(letters.split()) | {"happens", "yes", "no", NOTHING}
    return sorted(found | {word.lower() for word in vocabulary()})


def _spoken(halves: tuple[str, str], kind: str, answer: str) -> Sentence:
    text = " ".join(halves).replace("{}", answer)
    return Sentence(text, kind, answer)
