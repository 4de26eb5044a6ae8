"""One frame of a world as pixels: 96 x 96 RGB, drawn at twice the size and averaged down."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from cra_lib.data.shapes.world import FPS, Actor, Event, World

SIZE = 96
ZOOM = 2
GROUND = 74
"""Height of the actors' feet, pixels from the top."""
RADIUS = 10
RAMP = 2
"""Frames in which an action builds up, and in which it ends."""

INK = (25, 25, 25)
PAINT = {
    "red": (214, 39, 40),
    "blue": (31, 90, 220),
    "yellow": (250, 215, 30),
    "purple": (150, 60, 190),
}
SKY = {
    "beach": (150, 215, 245),
    "forest": (190, 225, 190),
    "snow": (205, 215, 230),
    "city": (205, 180, 165),
}
EARTH = {
    "beach": (235, 215, 165),
    "forest": (75, 135, 70),
    "snow": (248, 248, 252),
    "city": (120, 120, 125),
}


class Brush:
    """Draws in frame coordinates (pixels, y down) on an enlarged canvas."""

    def __init__(self, image: Image.Image):
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def polygon(self, points, fill, outline=INK) -> None:
        scaled = [(x * ZOOM, y * ZOOM) for x, y in points]
        self.draw.polygon(scaled, fill=fill, outline=outline, width=ZOOM)

    def box(self, x0, y0, x1, y1, fill, outline=None) -> None:
        corners = [x0 * ZOOM, y0 * ZOOM, x1 * ZOOM, y1 * ZOOM]
        self.draw.rectangle(corners, fill=fill, outline=outline, width=ZOOM)

    def disc(self, x, y, radius, fill, outline=INK) -> None:
        corners = [v * ZOOM for v in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(corners, fill=fill, outline=outline, width=ZOOM)

    def pie(self, x, y, radius, start, end, fill) -> None:
        corners = [v * ZOOM for v in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.pieslice(corners, start, end, fill=fill, outline=INK, width=ZOOM)

    def line(self, x0, y0, x1, y1, fill=INK, width=1.0) -> None:
        ends = [v * ZOOM for v in (x0, y0, x1, y1)]
        self.draw.line(ends, fill=fill, width=max(1, round(width * ZOOM)))


def render_frames(world: World, noise: float = 0.0) -> Iterator[np.ndarray]:
    """The frames of a video in order, uint8 [96, 96, 3].

    Args:
        noise: standard deviation of what is added to every value of every frame, in grey levels
            of 255; the same world gets the same noise.
    """
    clean = _clean_frames(world)
    if not noise:
        yield from clean
        return
    mark = hashlib.sha256(repr(world).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(mark[:8], "big"))
    for pixels in clean:
        added = noise * generator.standard_normal(pixels.shape, np.float32)
        yield np.clip(np.rint(pixels + added), 0, 255).astype(np.uint8)


def _clean_frames(world: World) -> Iterator[np.ndarray]:
    """As they are drawn; frames that look alike are drawn once."""
    drawn: dict[tuple, np.ndarray] = {}
    for frame in range(world.frame_count):
        event = world.event_at(frame)
        amount = action_amount(event, frame) if event else 0.0
        sway = round(math.sin(2 * math.pi * frame / (2 * FPS)))
        key = (event, amount, world.weather_at(frame), sway)
        if key not in drawn:
            drawn[key] = draw_frame(world.scene, world.actors, *key)
        yield drawn[key]


def action_amount(event: Event, frame: int) -> float:
    """How far an action has built up in a frame of its event: above 0, at most 1."""
    inside = min(frame - event.start, event.end - 1 - frame) + 1
    return min(1.0, (inside + 1) / (RAMP + 2))


def draw_frame(
    scene: str,
    actors: tuple[Actor, ...],
    event: Event | None,
    amount: float,
    weather: str | None,
    sway: int = 0,
) -> np.ndarray:
    """One frame, uint8 [96, 96, 3]: at most one actor acts, the others stand."""
    image = _background(scene).copy()
    brush = Brush(image)
    if weather:
        WEATHERS[weather](brush, sway)
    acting = event.actor if event else None
    for index, actor in enumerate(actors):
        if index != acting:
            _stand(brush, actor, sway)
    if event:
        _act(brush, actors[event.actor], event.action, amount, sway)
    return np.asarray(image.reduce(ZOOM))


@lru_cache(maxsize=8)
def _background(scene: str) -> Image.Image:
    image = Image.new("RGB", (SIZE * ZOOM, SIZE * ZOOM), SKY[scene])
    brush = Brush(image)
    brush.box(0, 62, SIZE, SIZE, EARTH[scene])
    if scene == "beach":
        brush.box(0, 46, SIZE, 62, (45, 135, 190))
        for x in (8, 36, 68):
            brush.line(x, 53, x + 12, 53, (200, 230, 245))
    elif scene == "forest":
        for x in (6, 27, 48, 69, 90):
            brush.box(x - 1.5, 52, x + 1.5, 62, (105, 70, 40))
            brush.polygon([(x - 10, 55), (x, 27), (x + 10, 55)], (35, 100, 55), (25, 75, 40))
    elif scene == "snow":
        for x, height in ((14, 34), (48, 26), (82, 36)):
            brush.polygon([(x - 24, 62), (x, height), (x + 24, 62)], (150, 165, 190), None)
            brush.polygon(
                [(x - 7, height + 10), (x, height), (x + 7, height + 10)], EARTH[scene], None
            )
    else:
        for x, height in ((3, 34), (22, 42), (41, 28), (60, 40), (79, 32)):
            brush.box(x, height, x + 15, 62, (150, 95, 80), (110, 65, 55))
            for y in range(height + 4, 60, 7):
                brush.box(x + 3, y, x + 5, y + 3, (240, 225, 150))
                brush.box(x + 10, y, x + 12, y + 3, (240, 225, 150))
    return image


def _rain(brush: Brush, sway: int) -> None:
    for x in (20, 30, 40):
        brush.disc(x, 8, 7, (110, 115, 125), None)
    for x in range(12, 50, 6):
        brush.line(x + sway, 17, x - 2 + sway, 24, (40, 80, 190), 1.5)


def _sun(brush: Brush, sway: int) -> None:
    for angle in range(0, 360, 45):
        turn = math.radians(angle + 10 * sway)
        brush.line(48, 12, 48 + 13 * math.cos(turn), 12 + 13 * math.sin(turn), (250, 140, 20), 1.5)
    brush.disc(48, 12, 7, (255, 190, 30), (250, 140, 20))


def _kite(brush: Brush, sway: int) -> None:
    x = 74 + 2 * sway
    brush.line(x, 18, x + 6, 30, INK)
    brush.polygon([(x, 2), (x + 8, 10), (x, 20), (x - 8, 10)], (20, 170, 150))
    brush.line(x, 2, x, 20, (250, 250, 250))


WEATHERS = {"rain": _rain, "sun": _sun, "kite": _kite}


def _outline(noun: str, x: float, y: float, radius: float, turned: bool) -> list | None:
    """Corner points of a body, None for a circle; `turned` puts them upside down."""
    if noun == "circle":
        return None
    if noun == "square":
        side = 0.88 * radius
        return [
            (x - side, y - side),
            (x + side, y - side),
            (x + side, y + side),
            (x - side, y + side),
        ]
    up = -1 if turned else 1
    if noun == "triangle":
        corners = [(0, -1.1), (1.05, 0.9), (-1.05, 0.9)]
    else:
        corners = [
            (math.sin(k * math.pi / 5) * r, -math.cos(k * math.pi / 5) * r)
            for k, r in enumerate([1.2, 0.55] * 5)
        ]
    return [(x + radius * dx, y + up * radius * dy) for dx, dy in corners]


def _body(brush: Brush, actor: Actor, y: float, radius: float, paint, turned=False) -> None:
    """Legs, body and face around (actor.x, y)."""
    up = -1 if turned else 1
    for side in (-0.45, 0.45):
        foot = actor.x + side * radius
        brush.line(foot, y + up * 0.6 * radius, foot, y + up * 1.55 * radius, INK, 1.8)
    points = _outline(actor.noun, actor.x, y, radius, turned)
    if points is None:
        brush.disc(actor.x, y, radius, paint)
    else:
        brush.polygon(points, paint)
    for side in (-0.3, 0.3):
        brush.disc(actor.x + side * radius, y - up * 0.1 * radius, 0.14 * radius, (255, 255, 255))


def _stand(brush: Brush, actor: Actor, sway: int) -> None:
    _body(brush, actor, GROUND - 1.5 * RADIUS + 0.5 * sway, RADIUS, PAINT[actor.colour])


def _act(brush: Brush, actor: Actor, action: str, amount: float, sway: int) -> None:
    """The acting actor; `amount` is how far the action has built up, 0 to 1."""
    y = GROUND - 1.5 * RADIUS + 0.5 * sway
    paint = PAINT[actor.colour]
    if action == "grow":
        radius = RADIUS * (1 + 0.75 * amount)
        _body(brush, actor, GROUND - 1.5 * radius, radius, paint)
    elif action == "flip":
        _body(brush, actor, y, RADIUS, paint, turned=True)
    elif action == "jump":
        brush.draw.ellipse(
            [v * ZOOM for v in (actor.x - 9, GROUND - 3, actor.x + 9, GROUND + 3)], (60, 60, 60)
        )
        _body(brush, actor, y - 22 * amount, RADIUS, paint)
    elif action == "fade":
        _fade(brush, actor, y, 0.75 * amount)
    elif action == "light":
        _glow(brush, actor.x, y, amount)
        _body(brush, actor, y, RADIUS, paint)
    else:
        _body(brush, actor, y, RADIUS, paint)
        PROPS[action](brush, actor.x, y, amount)


def _fade(brush: Brush, actor: Actor, y: float, amount: float) -> None:
    behind = brush.image.copy()
    _body(brush, actor, y, RADIUS, PAINT[actor.colour])
    brush.image.paste(Image.blend(brush.image, behind, amount))


def _glow(brush: Brush, x: float, y: float, amount: float) -> None:
    for angle in range(0, 360, 30):
        turn, reach = math.radians(angle), 13 + 6 * amount
        brush.line(x, y, x + reach * math.cos(turn), y + reach * math.sin(turn), (255, 245, 60), 2)
    brush.disc(x, y, 12 + 2 * amount, (255, 250, 170), (255, 245, 60))


def _flag(brush: Brush, x: float, y: float, amount: float) -> None:
    top = y - 4 - 18 * amount
    brush.line(x + 11, y + 8, x + 11, top, INK, 1.5)
    brush.polygon([(x + 11, top), (x + 24, top + 5), (x + 11, top + 10)], (240, 90, 30))


def _umbrella(brush: Brush, x: float, y: float, amount: float) -> None:
    top = y - 12 - 3 * amount
    brush.line(x, top, x, y - 6, INK, 1.5)
    brush.pie(x, top + 4, 9 + 8 * amount, 180, 360, (235, 70, 150))


def _hat(brush: Brush, x: float, y: float, amount: float) -> None:
    brim = y - 9 - 8 * (1 - amount)
    brush.box(x - 6, brim - 11, x + 6, brim, (35, 35, 40))
    brush.box(x - 6, brim - 4, x + 6, brim - 2, (230, 230, 230))
    brush.box(x - 11, brim - 1, x + 11, brim + 2, (35, 35, 40))


PROPS = {"flag": _flag, "umbrella": _umbrella, "hat": _hat}
