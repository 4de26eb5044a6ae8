"""How much seeking saves over decoding in full, and what extraction costs in memory.

    python tests/benchmarks/bench_decoding.py [--part memory|decoding] [--videos 500]

Times are CPU seconds of this process (best of three), which other work on the machine changes
least. "full" decodes every frame to an RGB array, which is what choosing frames afterwards needs;
"decode only" leaves the arrays out.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from cra_lib.evaluator.annotations import stamps_from_count
from cra_lib.video.encoders import load_encoder
from cra_lib.video.extract import extract_features
from cra_lib.video.frames import read_frames
from cra_lib.video.writing import write_video

FPS, SECONDS, HEIGHT, WIDTH = 30, 40, 480, 640


def moving_scene(count: int, noise: float):
    """A panning, noisy background with a moving patch: neither easy nor hard to encode."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [(np.sin(x / 37 + k) + np.cos(y / 23 * (k + 1))) * 60 + 128 for k in range(3)]
    scene = np.stack(waves, -1) + rng.normal(0, noise, (HEIGHT, WIDTH, 3))
    scene = np.clip(np.concatenate([scene, scene], 1), 0, 255).astype(np.uint8)
    for number in range(count):
        offset = (2 * number) % WIDTH
        frame = scene[:, offset : offset + WIDTH].copy()
        left, top = (5 * number) % (WIDTH - 60), int(200 + 150 * np.sin(number / 20))
        frame[top : top + 60, left : left + 60] = (number % 256, 255 - number % 256, 90)
        yield frame


def decode_in_full(path: Path, times=None, arrays: bool = True) -> np.ndarray | None:
    """Every frame; returns those on screen at `times`."""
    shown = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            pixels = frame.to_ndarray(format="rgb24") if arrays else None
            if times is not None:
                shown.append(pixels)
    if times is None:
        return None
    return np.stack([shown[min(len(shown) - 1, int(time * FPS + 1e-6))] for time in times])


def cpu_seconds(call, *arguments, **settings) -> float:
    """The least of three."""
    found = []
    for _ in range(3):
        started = time.process_time()
        call(*arguments, **settings)
        found.append(time.process_time() - started)
    return min(found)


def compare_decoding(folder: Path) -> None:
    """One row a keyframe distance."""
    times = stamps_from_count(FPS * SECONDS, FPS)
    print("keyframe every   size      32 sought   full      decode only   full / sought   same")
    for every in (0.5, 1, 2, 4, 250 / FPS):
        path = folder / f"{every:.2f}.mp4"
        scene = moving_scene(FPS * SECONDS, noise=6)
        write_video(path, scene, FPS, quality=23, keyframe_every=every)
        sought = cpu_seconds(read_frames, path, times)
        full = cpu_seconds(decode_in_full, path)
        bare = cpu_seconds(decode_in_full, path, arrays=False)
        same = np.array_equal(read_frames(path, times), decode_in_full(path, times))
        size = path.stat().st_size / 1e6
        print(
            f"{every:6.2f} s {size:12.1f} MB {sought:10.3f} s {full:8.3f} s {bare:10.3f} s "
            f"{full / sought:12.1f} x     {same}"
        )


def measure_memory(folder: Path, videos: int) -> None:
    """Peak memory of extracting many short videos (one file under many names), encoder pixels."""
    source = folder / "short.mp4"
    write_video(source, moving_scene(48, noise=6), FPS, quality=23)
    encoder = load_encoder("pixels")
    for count in (20, videos):
        paths = {f"{count}_{number}": source for number in range(count)}
        started = time.perf_counter()
        extract_features(paths, None, encoder, folder / f"{count}.h5")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        seconds = time.perf_counter() - started
        print(f"{count} videos: {peak:.2f} GB at the peak, {count / seconds:.1f} videos/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--part", choices=("all", "memory", "decoding"), default="all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if options.part != "decoding":
            measure_memory(Path(place), options.videos)
        if options.part != "memory":
            compare_decoding(Path(place))
