"""What happens in a video: a scene, actors, one event at a time, weather, causes."""

from __future__ import annotations

import random
from typing import NamedTuple

FPS = 8
MIN_FRAMES, MAX_FRAMES = 12 * FPS, 20 * FPS
EVENT_FRAMES = (20, 26)
"""Shortest and longest event."""

COLOURS = ("red", "blue", "yellow", "purple")
NOUNS = ("circle", "square", "triangle", "star")
SCENES = ("beach", "forest", "snow", "city")


class Phrase(NamedTuple):
    """The forms of one action that questions, answers and captions use."""

    base: str
    past: str
    present: str


ACTIONS = {
    "flag": Phrase("raise a flag", "raised a flag", "raises a flag"),
    "umbrella": Phrase("open an umbrella", "opened an umbrella", "opens an umbrella"),
    "hat": Phrase("put on a hat", "put on a hat", "puts on a hat"),
    "light": Phrase("light up", "lit up", "lights up"),
    "grow": Phrase("grow big", "grew big", "grows big"),
    "fade": Phrase("fade away", "faded away", "fades away"),
    "flip": Phrase("turn upside down", "turned upside down", "turns upside down"),
    "jump": Phrase("jump up", "jumped up", "jumps up"),
}
WEATHER = {
    "rain": "it was raining",
    "sun": "the sun was shining",
    "kite": "a kite was flying",
}


class Actor(NamedTuple):
    """A coloured shape and the place where it stands (pixels, centre)."""

    colour: str
    noun: str
    x: int

    @property
    def name(self) -> str:
        return f"{self.colour} {self.noun}"


class Event(NamedTuple):
    """One actor's action during frames start <= t < end; ``cause`` is the event it reacts to."""

    actor: int
    action: str
    start: int
    end: int
    cause: int | None = None


class Episode(NamedTuple):
    """Weather that can be seen during frames start <= t < end."""

    kind: str
    start: int
    end: int


class World(NamedTuple):
    """One video before it is rendered. Events are in time order and never overlap."""

    scene: str
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]
    episodes: tuple[Episode, ...]
    frame_count: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frame_count / FPS

    def event_at(self, frame: int) -> Event | None:
        """The event that can be seen in a frame, or None."""
        return next((event for event in self.events if event.start <= frame < event.end), None)

    def weather_at(self, frame: int) -> str | None:
        """The weather that can be seen in a frame, or None."""
        return next((e.kind for e in self.episodes if e.start <= frame < e.end), None)

    def actions_of(self, actor: int) -> tuple[str, ...]:
        """The actions of one actor, in time order; each at most once."""
        return tuple(event.action for event in self.events if event.actor == actor)


def draw_world(rng: random.Random) -> World:
    """A world in which every action is equally likely for every actor in every scene.

    The two confounders enter later, through what is asked (`habits`), so that all that can be
    known about an answer without the video is what the habits say.
    """
    actors = draw_actors(rng)
    order = _draw_order(rng, len(actors))
    caused = _draw_causes(rng, order)
    actions = {actor: rng.sample(list(ACTIONS), order.count(actor)) for actor in set(order)}
    events: list[Event] = []
    frame = rng.randint(4, 8)
    for index, actor in enumerate(order):
        # A reaction follows at once; everything else leaves a pause, so that "why" can be seen.
        frame += 0 if index == 0 else 2 if index in caused else rng.randint(5, 9)
        end = frame + rng.randint(*EVENT_FRAMES)
        cause = index - 1 if index in caused else None
        events.append(Event(actor, actions[actor].pop(), frame, end, cause))
        frame = end
    spare = max(0, MIN_FRAMES - frame - 4)
    frame_count = min(MAX_FRAMES, frame + max(rng.randint(4, 8), spare + 4))
    scene = rng.choice(SCENES)
    return World(scene, actors, tuple(events), _draw_weather(rng, events), frame_count)


def draw_actors(rng: random.Random) -> tuple[Actor, ...]:
    """Two or three actors of different colours, apart from each other."""
    count = 2 if rng.random() < 0.7 else 3
    places = rng.sample((18, 48, 78), count)
    colours = rng.sample(COLOURS, count)
    return tuple(
        Actor(colour, rng.choice(NOUNS), place + rng.randint(-3, 3))
        for colour, place in zip(colours, places, strict=True)
    )


def _draw_order(rng: random.Random, num_actors: int) -> list[int]:
    """Which actor acts in each of four events."""
    counts = (2, 2) if num_actors == 2 else (2, 1, 1)
    order = [actor for actor, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(order)
    return order


def _draw_causes(rng: random.Random, order: list[int]) -> set[int]:
    """The index of one event that reacts to the event before, made by another actor."""
    pairs = [index for index in range(1, len(order)) if order[index] != order[index - 1]]
    return {rng.choice(pairs)}


def _draw_weather(rng: random.Random, events: list[Event]) -> tuple[Episode, ...]:
    """Up to three kinds of weather, each around one event and perhaps the one after it."""
    anchors = rng.sample(range(len(events)), len(WEATHER))
    episodes: list[Episode] = []
    taken: set[int] = set()
    for kind, first in zip(rng.sample(list(WEATHER), len(WEATHER)), anchors, strict=True):
        last = first
        if first + 1 < len(events) and events[first].actor != events[first + 1].actor:
            last += rng.randint(0, 1)
        covered = set(range(first, last + 1))
        if not covered & taken:
            taken |= covered
            episodes.append(Episode(kind, events[first].start - 1, events[last].end + 1))
    return tuple(sorted(episodes, key=lambda episode: episode.start))
