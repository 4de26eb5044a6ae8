"""The page of `cra app` in a real browser: upload, ask, errors, two users, what is served."""

from __future__ import annotations

import os
import re
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


@pytest.fixture
def visit(chromium, address):
    """Opens the page in a tab of its own, and closes all tabs; nothing may leave the machine."""
    blank, outside = chromium.current_window_handle, []

    def open_page():
        chromium.switch_to.new_window("tab")
        chromium.set_window_size(1200, 1000)
        chromium.get(address)
        until(chromium, "document.querySelector('#cra-ask') !== null")
        return chromium.current_window_handle

    yield open_page
    for handle in set(chromium.window_handles) - {blank}:
        chromium.switch_to.window(handle)
        asked = chromium.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        outside += [u for u in asked if not u.startswith((address, "data:", "blob:"))]
        chromium.close()
    chromium.switch_to.window(blank)
    assert outside == []


def until(chromium, condition: str, *values) -> None:
    """Wait until a condition, written in JavaScript, holds in the page."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(chromium, 90, poll_frequency=0.2).until(
        lambda driver: driver.execute_script(f"return {condition}", *values), condition
    )


def photograph(chromium, name: str) -> None:
    """Keep a picture where the caller asked for one (CRA_SCREENSHOTS), to be looked at."""
    if folder := os.environ.get("CRA_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        chromium.save_screenshot(f"{folder}/{name}.png")


def upload(chromium, path: Path) -> None:
    until(chromium, "document.querySelector('#cra-video input[type=file]') !== null")
    chromium.find_element("css selector", "#cra-video input[type=file]").send_keys(str(path))


def fill(chromium, question: str, choices: str = "") -> None:
    for name, text in (("question", question), ("choices", choices)):
        field = chromium.find_element("css selector", f"#cra-{name} textarea")
        field.clear()
        field.send_keys(text)
    chromium.find_element("css selector", "#cra-ask").click()


def text_of(chromium, selector: str) -> str:
    until(chromium, f"document.querySelector('{selector}') !== null")
    return chromium.find_element("css selector", selector).text


HAS_VIDEO = "document.querySelector('#cra-video video')?.readyState > 0"
CARD, ALERT = "#cra-card .cra-answer", "#cra-card [role=alert]"


def test_upload_ask_and_jump(visit, chromium):
    visit()
    upload(chromium, SAMPLE.path)
    until(chromium, HAS_VIDEO)
    fill(chromium, SAMPLE.question, ", ".join(SAMPLE.choices))
    assert SAMPLE.question in text_of(chromium, CARD)
    assert len(chromium.find_elements("css selector", f"{CARD} tr")) == len(SAMPLE.choices)
    chromium.find_element("css selector", "#cra-jump").click()
    until(chromium, "document.querySelector('#cra-video video').currentTime > 1")
    photograph(chromium, "answer")


def test_pick_a_sample(visit, chromium):
    visit()
    chromium.find_element("css selector", "#cra-pick input").click()
    option = f"//*[@role='option'][contains(., 'sample: {OTHER.path.stem}')]"
    until(chromium, "document.querySelector('[role=option]') !== null")
    chromium.find_element("xpath", option).click()
    until(chromium, HAS_VIDEO)
    until(
        chromium,
        "document.querySelector('#cra-question textarea').value === arguments[0]",
        OTHER.question,
    )
    chromium.find_element("css selector", "#cra-ask").click()
    assert OTHER.question in text_of(chromium, CARD)
    photograph(chromium, "sample")


def test_errors_are_messages(visit, chromium, tmp_path):
    visit()
    fill(chromium, "what did the red square do")
    assert "Which video?" in text_of(chromium, ALERT)
    broken = tmp_path / "page.mp4"
    broken.write_text("<!doctype html><html></html>")
    upload(chromium, broken)
    until(chromium, "document.querySelector('#cra-video video') !== null")
    fill(chromium, "<img src=x onerror=alert(1)>")
    until(chromium, f"document.querySelector('{ALERT}')?.innerText.includes('not a readable')")
    assert "cra-app-" not in text_of(chromium, ALERT)
    photograph(chromium, "error")


def test_two_users_do_not_meet(visit, chromium):
    users = [(visit(), SAMPLE), (visit(), OTHER)]
    for tab, sample in users:
        chromium.switch_to.window(tab)
        upload(chromium, sample.path)
        until(chromium, HAS_VIDEO)
    for tab, sample in users:
        chromium.switch_to.window(tab)
        fill(chromium, sample.question, ", ".join(sample.choices))
    for tab, sample in users:
        chromium.switch_to.window(tab)
        assert sample.question in text_of(chromium, CARD)


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
