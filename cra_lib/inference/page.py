"""`cra app`: the same question and answer in a browser, for this machine alone.

Gradio serves it. Bound to 127.0.0.1; uploads are limited in size and lie in a temporary folder that
is removed at the end; no other file is served. Several people may ask at once: nothing about one
of them is kept but the encoded videos, which all share.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from cra_lib.inference.drawing import html_card, interval_words
from cra_lib.inference.samples import sample_videos
from cra_lib.inference.session import VideoSession
from cra_lib.inference.trained import TrainedModel
from cra_lib.records import InputError
from cra_lib.video.extract import find_videos

HOST = "127.0.0.1"
KEPT_SESSIONS = 8
"""Encoded videos that are kept for further questions, over all users; 100 kB and up each."""
KEEP_UPLOADS = 3600
"""Seconds after which an upload is removed while the page goes on."""
OWN_VIDEO = "my own (upload below)"
SEEK = """(seconds) => {
  const video = document.querySelector('#cra-video video');
  if (video) { video.currentTime = seconds; video.play().catch(() => {}); video.focus(); }
}"""
"""Runs in the browser: the player goes to the evidence."""

Say = Callable[[str], None]


class Desk:
    """What all users share: models, samples and the videos that were encoded last.

    Args:
        models: sources as `TrainedModel` takes them; the first is loaded at once.
        videos: path of each video to pick from, by its name.
        options: further arguments of `TrainedModel`.

    Raises:
        InputError: the first model cannot be loaded.
    """

    def __init__(self, models: Sequence[str], videos: dict[str, Path], **options: Any):
        self.models: dict[str, TrainedModel | None] = dict.fromkeys(models)
        self.videos, self.options = videos, options
        self._sessions: OrderedDict[tuple, VideoSession] = OrderedDict()
        self._lock = threading.Lock()
        self.model(models[0])

    def model(self, name: str) -> TrainedModel:
        """A model of the list, loaded when it is first asked for."""
        if name not in self.models:
            raise InputError(f"{name!r} is not among the models of this page.")
        with self._lock:
            if self.models[name] is None:
                self.models[name] = TrainedModel(name, **self.options)
            return self.models[name]

    def session(self, video: Path, name: str) -> VideoSession:
        """The encoded video, from the last ones or anew."""
        model, status = self.model(name), video.stat()
        mark = (name, str(video), status.st_mtime_ns, status.st_size)
        with self._lock:
            if mark in self._sessions:
                self._sessions.move_to_end(mark)
                return self._sessions[mark]
        session = VideoSession.open(video, model)
        with self._lock:
            self._sessions[mark] = session
            while len(self._sessions) > KEPT_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def ask(self, video: str | None, question: str, choices: str, name: str) -> tuple[str, float]:
        """The answer as HTML, and the second at which its evidence starts."""
        try:
            if not video:
                raise InputError("Which video? Pick a sample or upload one.")
            answer = self.session(Path(video), name).ask(question or "", read_choices(choices))
        except (InputError, OSError, MemoryError) as error:
            return message(shown(error, video)), 0.0
        except Exception as error:
            logging.getLogger(__name__).exception("a question failed")
            return message(
                f"Something went wrong ({type(error).__name__}); try another video."
            ), 0.0
        said = escape(f"{answer.choice}, {interval_words(answer)}")
        return f'<div role="status" aria-label="{said}">{html_card(answer)}</div>', answer.span[0]


def read_choices(text: str | None) -> list[str] | None:
    """One choice a line, or between commas; None where there is none.

    >>> read_choices("jump up, fade away"), read_choices(" ")
    (['jump up', 'fade away'], None)
    """
    lines = (text or "").strip().splitlines()
    words = lines if len(lines) > 1 else ",".join(lines).split(",")
    return [word.strip() for word in words if word.strip()] or None


def shown(error: Exception, video: str | None) -> str:
    """An error's sentence without the temporary folder that nobody knows."""
    sentence = str(error).replace(f"{video}: ", "This file: ").replace(str(video), "this file")
    return sentence or "Out of memory: try a smaller video."


def message(sentence: str) -> str:
    """A sentence that a screen reader speaks at once."""
    return (
        '<div role="alert" class="cra-error" style="padding:10px;border-left:4px solid #D55E00;'
        f'background:#FCEBDD;color:#222">{escape(sentence)}</div>'
    )


def build_page(desk: Desk, folder: Path) -> Any:
    """The page as Gradio's Blocks.

    Args:
        folder: where samples are copied to when somebody picks one; the page serves nothing else.
    """
    import gradio as gr

    names = list(desk.models)
    with gr.Blocks(
        title="Ask a video", analytics_enabled=False, delete_cache=(600, KEEP_UPLOADS)
    ) as blocks:
        gr.Markdown(
            "# Ask a video\nThe answer, and the seconds that show it. The model that comes along "
            "knows rendered videos of coloured shapes only, and says when it is guessing."
        )
        with gr.Row():
            with gr.Column():
                pick = gr.Dropdown(
                    [OWN_VIDEO, *desk.videos], value=OWN_VIDEO, label="Video", elem_id="cra-pick"
                )
                video = gr.Video(
                    label="Player", sources=["upload"], elem_id="cra-video", height=300, buttons=[]
                )
                question = gr.Textbox(label="Question", max_length=500, elem_id="cra-question")
                choices = gr.Textbox(
                    label="Choices (between commas or one a line; empty ranks the learned answers)",
                    lines=2,
                    max_length=5000,
                    elem_id="cra-choices",
                )
                model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
                ask = gr.Button("Ask", variant="primary", elem_id="cra-ask")
            with gr.Column():
                card = gr.HTML(label="Answer", elem_id="cra-card")
                start = gr.Number(0, visible="hidden")
                jump = gr.Button("Play the evidence", elem_id="cra-jump")
        private = {"api_visibility": "private"}
        picked = [video, question, choices]
        pick.change(lambda name: _pick(desk, folder, name), pick, picked, **private)
        asked = [video, question, choices, model]
        gr.on([ask.click, question.submit], desk.ask, asked, [card, start], **private)
        jump.click(None, start, None, js=SEEK, **private)
    return blocks.queue(default_concurrency_limit=2, max_size=32)


def _pick(desk: Desk, folder: Path, name: str) -> tuple[str | None, str, str]:
    """A copy of the video, with the question and choices of a sample."""
    path = desk.videos.get(name)
    if path is None:
        return None, "", ""
    copy = folder / f"{path.stem}-{abs(hash(str(path)))}{path.suffix}"
    if not copy.exists():
        shutil.copyfile(path, copy)
    for sample in sample_videos():
        if sample.path == path:
            return str(copy), sample.question, ", ".join(sample.choices)
    return str(copy), "", ""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A temporary folder for everything that the page keeps; gone afterwards, also on SIGTERM."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    folder = Path(tempfile.mkdtemp(prefix="cra-app-"))
    try:
        yield folder
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(folder, ignore_errors=True)


def serve(
    models: Sequence[str],
    *,
    videos: Path | None = None,
    port: int = 0,
    max_mb: int = 200,
    say: Say = print,
    **options: Any,
) -> None:
    """Serve the page until the process is told to stop.

    Args:
        models: sources as `TrainedModel` takes them.
        videos: a folder of videos to pick from, besides the samples.
        port: 0 takes a free one.
        max_mb: largest upload in megabytes.
        say: gets the address.
        options: further arguments of `TrainedModel`.

    Raises:
        InputError: Gradio is not installed, or a model or folder that is not there.
    """
    with _own_folder() as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read when an upload comes
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        try:
            import gradio as gr
        except ModuleNotFoundError:
            raise InputError("`cra app` needs Gradio: pip install 'cra-lib[app]'.") from None
        there = {f"sample: {s.path.stem}": s.path for s in sample_videos()}
        there |= find_videos(videos) if videos else {}
        blocks = build_page(Desk(models, there, **options), folder)
        port = port or free_port()
        try:
            blocks.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=f"{max_mb}mb",
                footer_links=[],
                enable_monitoring=False,
                ssr_mode=False,
                theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            )
        except OSError:
            raise InputError(f"Port {port} is taken; choose another one, or none.") from None
        say(f"http://{HOST}:{port}  (stop with Ctrl-C)")
        try:
            threading.Event().wait()
        except (KeyboardInterrupt, SystemExit):
            blocks.close(verbose=False)
