"""The page of `cra app` in a real browser: upload, ask, errors, two users, what is served."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cra_lib.inference.page import Desk, message, read_choices
from cra_lib.inference.samples import sample_videos
from cra_lib.records import InputError

SAMPLE, OTHER = sample_videos()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def test_a_desk_keeps_what_it_encoded_and_no_more():
    desk = Desk(["cra-shapes"], {})
    card, start = desk.ask(
        str(SAMPLE.path), SAMPLE.question, ", ".join(SAMPLE.choices), "cra-shapes"
    )
    assert 'role="status"' in card and "<svg" in card and start > 0
    assert desk.session(SAMPLE.path, "cra-shapes") is desk.session(SAMPLE.path, "cra-shapes")
    for words in ((None, "what", ""), ("absent.mp4", "what", ""), (str(SAMPLE.path), "", "")):
        assert 'role="alert"' in desk.ask(*words, "cra-shapes")[0]
    assert "not among the models" in desk.ask(str(SAMPLE.path), "what", "", "/etc")[0]


def test_hostile_words_stay_words():
    assert "<script" not in message("<script>alert(1)</script>")
    assert read_choices("a\nb, c") == ["a", "b, c"]


def test_a_model_that_is_not_there_is_refused_at_the_start():
    with pytest.raises(InputError, match="No model folder"):
        Desk(["./absent"], {})


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A running page; its temporary files lie in a folder of the test."""
    pytest.importorskip("gradio", reason="the app extra (Gradio) is not installed")
    scratch = tmp_path_factory.mktemp("scratch")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "cra_lib", "app", "--max-mb", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    found = None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            break
    assert found, "the page did not start"
    yield found[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert not list(scratch.glob("cra-app-*")), "uploads are left behind"


@pytest.fixture(scope="module")
def browser():
    """A headless browser, or a skip with the reason."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (the dev extra)"
    )
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser found ({', '.join(BROWSERS)}); install one to drive the page")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page as a user of its own, and notes requests that leave the machine."""
    contexts, outside = [], []

    def open_page():
        contexts.append(browser.new_context(viewport={"width": 1200, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(90_000)
        page.on("request", lambda r: None if address in r.url or r.url[:4] in ("data", "blob")
                else outside.append(r.url))  # fmt: skip
        page.goto(address)
        page.get_by_role("button", name="Ask", exact=True).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert outside == []


def photograph(page, name: str) -> None:
    """Keep a picture where the caller asked for one (CRA_SCREENSHOTS), to be looked at."""
    if folder := os.environ.get("CRA_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def upload(page, path: Path) -> None:
    page.locator("#cra-video input[type=file]").set_input_files(path)


def fill(page, question: str, choices: str = "") -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_label("Choices").fill(choices)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_upload_ask_and_jump(visit):
    page = visit()
    upload(page, SAMPLE.path)
    page.locator("#cra-video video").wait_for()
    fill(page, SAMPLE.question, ", ".join(SAMPLE.choices))
    card = page.locator("#cra-card .cra-answer")
    card.wait_for()
    assert SAMPLE.question in card.inner_text() and card.locator("tr").count() == 5
    page.get_by_role("button", name="Play the evidence").click()
    page.wait_for_function("document.querySelector('#cra-video video').currentTime > 1")
    photograph(page, "answer")


def test_pick_a_sample(visit):
    page = visit()
    page.get_by_label("Video", exact=True).click()
    page.get_by_role("option", name=f"sample: {OTHER.path.stem}").click()
    page.locator("#cra-video video").wait_for()
    page.wait_for_function(
        "q => [...document.querySelectorAll('textarea')].some(t => t.value === q)",
        arg=OTHER.question,
    )
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("#cra-card .cra-answer").wait_for()
    photograph(page, "sample")


def test_errors_are_messages(visit, tmp_path):
    page = visit()
    fill(page, "what did the red square do")
    alert = page.locator("#cra-card [role=alert]")
    alert.wait_for()
    assert "Which video?" in alert.inner_text()
    broken = tmp_path / "page.mp4"
    broken.write_text("<!doctype html><html></html>")
    upload(page, broken)
    page.wait_for_timeout(1500)
    fill(page, "<img src=x onerror=alert(1)>")
    page.wait_for_function(
        "document.querySelector('#cra-card [role=alert]')?.innerText.includes('not a readable')"
    )
    assert "cra-app-" not in alert.inner_text()
    photograph(page, "error")


def test_two_users_do_not_meet(visit):
    first, second = visit(), visit()
    upload(first, SAMPLE.path)
    upload(second, OTHER.path)
    for page in (first, second):
        page.locator("#cra-video video").wait_for()
    fill(first, SAMPLE.question, ", ".join(SAMPLE.choices))
    fill(second, OTHER.question, ", ".join(OTHER.choices))
    for page, sample in ((first, SAMPLE), (second, OTHER)):
        page.locator("#cra-card .cra-answer").wait_for()
        assert sample.question in page.locator("#cra-card").inner_text()


def status_of(url: str, data: bytes | None = None, **headers: str) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data, headers), timeout=60
        ) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:  # the server hung up on an upload that is too large
        return 413


def test_nothing_else_is_served(address, repository):
    root = repository.resolve()
    for path in ("/etc/passwd", root / "README.md", root / "pyproject.toml", SAMPLE.path.resolve()):
        assert status_of(f"{address}/gradio_api/file={path}") in (403, 404), path
    assert status_of(f"{address}/gradio_api/file=../../etc/passwd") in (403, 404)


def test_large_uploads_are_refused(address):
    bound = "cra"
    head = f'--{bound}\r\nContent-Disposition: form-data; name="files"; filename="v.mp4"\r\n\r\n'
    body = head.encode() + b"0" * 3_000_000 + f"\r\n--{bound}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={bound}"}
    began = time.time()
    assert status_of(f"{address}/gradio_api/upload", body, **kind) == 413
    assert time.time() - began < 60
    small = head.encode() + b"0" * 1000 + f"\r\n--{bound}--\r\n".encode()
    assert status_of(f"{address}/gradio_api/upload", small, **kind) == 200
