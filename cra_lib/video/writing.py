"""Writing a video file with PyAV: the same frames give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from cra_lib.paths import atomic
from cra_lib.records import InputError


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    quality: int = 20,
    keyframe_every: float = 1.0,
    preset: str = "medium",
) -> None:
    """Write H.264 (yuv420p, mp4); the same frames give the same bytes.

    Args:
        frames: uint8 [H, W, 3] each, all of one size, H and W even.
        quality: x264's constant rate factor; lower is better and larger.
        keyframe_every: seconds between keyframes, the places that a reader can seek to.
        preset: x264's effort, from ultrafast (larger files) to veryslow.

    Raises:
        InputError: no frames, or a frame of odd or changing size.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    options = {"crf": str(quality), "preset": preset, "threads": "1", "flags": "+bitexact"}
    options |= _instruction_set()
    with atomic(path) as partial:
        stream, last = None, None
        with av.open(str(partial), "w", options={"fflags": "+bitexact"}) as container:
            for pixels in frames:
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate, options=options)
                    stream.height, stream.width = _even_size(pixels, path)
                    stream.pix_fmt = "yuv420p"
                    stream.codec_context.gop_size = max(1, round(keyframe_every * fps))
                if pixels.shape != (stream.height, stream.width, 3):
                    raise InputError(f"{path}: a frame has another shape, {pixels.shape}.")
                if pixels is not last:  # still pictures are the same array again
                    last, whole = pixels, np.ascontiguousarray(pixels)
                    frame = av.VideoFrame.from_ndarray(whole, format="rgb24")
                    frame = frame.reformat(format="yuv420p", threads=1)
                frame.pts = None  # the encoder counts
                container.mux(stream.encode(frame))
            if stream is None:
                raise InputError(f"{path}: no frames to write.")
            container.mux(stream.encode())


@cache
def _instruction_set() -> dict[str, str]:
    """x264 held to AVX2 where there is AVX2.

    With AVX-512 x264 decides otherwise in about every second video, and one in nine then decodes to
    other pixels; files could also change with what the process had done before.
    """
    known = np.show_config(mode="dicts")["SIMD Extensions"]
    names = {name for group in ("baseline", "found") for name in known.get(group, ())}
    # X86_V3 is how numpy calls the instruction sets up to AVX2 from version 2.4 on.
    return {"x264-params": "asm=avx2"} if names & {"AVX2", "X86_V3"} else {}


def _even_size(pixels: np.ndarray, path: Path) -> tuple[int, int]:
    if pixels.ndim != 3 or pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise InputError(f"{path}: expected uint8 frames [H, W, 3], got {pixels.shape}.")
    if pixels.shape[0] % 2 or pixels.shape[1] % 2:
        raise InputError(f"{path}: H.264 needs even height and width, got {pixels.shape[:2]}.")
    return pixels.shape[0], pixels.shape[1]
