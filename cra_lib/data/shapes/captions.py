"""Single frames with what can be said about them: what the frame encoder `shapes-clip` learns from.

A shot is drawn on its own, not taken from a video: any actors, scene, weather and action, at any
stage of the action. Each *topic* of a shot has a label and many wordings: plain captions, and the
turns of phrase of questions and answers, so that the text tower knows both.
"""

from __future__ import annotations

import io
import random
from typing import NamedTuple

import numpy as np
from PIL import Image

from cra_lib.data.shapes.render import draw_frame
from cra_lib.data.shapes.world import (
    ACTIONS,
    COLOURS,
    NOUNS,
    SCENES,
    WEATHER,
    Actor,
    Event,
    draw_actors,
)

PLACES = {"beach": "at the beach", "forest": "in the forest", "snow": "in the snow",
          "city": "in the city"}  # fmt: skip
NOTHING = "nothing"
TOPICS = ("event", "action", "actor", "colour", "noun", "scene", "weather")
IDLE_SHARE, DRY_SHARE = 0.15, 0.4


class Shot(NamedTuple):
    """One frame: at most one actor acts, and the action has built up by `amount`."""

    scene: str
    actors: tuple[Actor, ...]
    event: Event | None
    amount: float
    weather: str | None
    sway: int

    def label(self, topic: str) -> str:
        """What is the case in this frame, for one of `TOPICS`."""
        if topic in ("scene", "weather"):
            return getattr(self, topic) or NOTHING
        if self.event is None:
            return NOTHING
        actor = self.actors[self.event.actor]
        return {
            "event": f"{actor.name} {self.event.action}",
            "action": self.event.action,
            "actor": actor.name,
            "colour": actor.colour,
            "noun": actor.noun,
        }[topic]


def draw_shot(rng: random.Random) -> Shot:
    """A random frame: every actor, action, scene and weather equally likely."""
    actors = draw_actors(rng)
    event = None
    if rng.random() >= IDLE_SHARE:
        event = Event(rng.randrange(len(actors)), rng.choice(list(ACTIONS)), 0, 1)
    weather = None if rng.random() < DRY_SHARE else rng.choice(list(WEATHER))
    amount = rng.choice((0.5, 0.75, 1.0, 1.0, 1.0, 1.0))
    return Shot(rng.choice(SCENES), actors, event, amount, weather, rng.randint(-1, 1))


def render_shot(shot: Shot, rng: random.Random) -> np.ndarray:
    """The frame as a decoder would show it, uint8 [96, 96, 3]: lossy, with subsampled colour.

    JPEG stands in for a keyframe of H.264: block transform, quantisation, 4:2:0 colour.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(draw_frame(*shot))
    image.save(buffer, "JPEG", quality=rng.randint(60, 95), subsampling=2)
    return np.asarray(Image.open(buffer))


def phrase(topic: str, label: str, rng: random.Random) -> str:
    """One wording of a topic's label, chosen at random."""
    return rng.choice(_wordings(topic, label, rng))


def _wordings(topic: str, label: str, rng: random.Random) -> list[str]:
    if topic == "scene":
        return [PLACES[label], f"{rng.choice(_all_names())} {PLACES[label]}", f"the {label}"]
    if topic == "weather":
        if label == NOTHING:
            return ["nothing in the sky", "no weather"]
        name = rng.choice(_all_names())
        return [WEATHER[label], f"while {WEATHER[label]}",
                f"what did {name} do while {WEATHER[label]}"]  # fmt: skip
    if label == NOTHING:
        return ["nothing happens", "nobody does anything"]
    if topic == "action":
        return list(ACTIONS[label])
    if topic == "colour":
        return [f"the {label} one", f"something {label} does it"]
    if topic == "noun":
        return [f"the {label}", f"a {label} does it"]
    if topic == "actor":
        verb = rng.choice(("do", "react"))
        return [f"the {label}", f"the {label} does it", f"what did the {label} do",
                f"how did the {label} {verb}"]  # fmt: skip
    return _event_wordings(*label.rsplit(" ", 1), rng)


def _event_wordings(name: str, action: str, rng: random.Random) -> list[str]:
    act = ACTIONS[action]
    other = rng.choice([candidate for candidate in _all_names() if candidate != f"the {name}"])
    word = rng.choice(("after", "before"))
    return [
        f"a {name} {act.present}",
        f"the {name} {act.past}",
        f"why did the {name} {act.base}",
        f"when the {name} {act.past}",
        f"{word} the {name} {act.past}",
        f"what did the {name} do </s> {act.base}",
        f"how did the {name} react when {other} did it </s> {act.base}",
        f"what did {other} do {word} the {name} {act.past}",
        f"how did {other} react when the {name} {act.past}",
    ]


def caption(topic: str, label: str) -> str:
    """The plain wording, which zero-shot classification compares a frame with."""
    if topic == "event" and label != NOTHING:
        name, action = label.rsplit(" ", 1)
        return f"the {name} {ACTIONS[action].past}"
    return _wordings(topic, label, random.Random(0))[0]


def labels(topic: str) -> list[str]:
    """Every label of a topic."""
    names = [name.removeprefix("the ") for name in _all_names()]
    return {
        "event": [f"{name} {action}" for name in names for action in ACTIONS] + [NOTHING],
        "action": [*ACTIONS, NOTHING],
        "actor": [*names, NOTHING],
        "colour": [*COLOURS, NOTHING],
        "noun": [*NOUNS, NOTHING],
        "scene": list(SCENES),
        "weather": [*WEATHER, NOTHING],
    }[topic]


def _all_names() -> list[str]:
    return [f"the {colour} {noun}" for colour in COLOURS for noun in NOUNS]


def vocabulary() -> list[str]:
    """Every word of questions, answers and captions, in alphabetical order."""
    rng = random.Random(0)
    texts = [w for t in TOPICS for label in labels(t) for _ in range(8)
             for w in _wordings(t, label, rng)]  # fmt: skip
    return sorted({word for text in texts for word in text.split()} - {"</s>"} | {"it", "did"})
