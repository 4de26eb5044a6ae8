"""What all tests share: no network, no windows, one thread, shapes checked at run time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cra_lib.evaluator.packaged import packaged_source, unpack_dataset

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores must not fight
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent
LONG = ("test_end_to_end", "training/test_loop", "test_workflow", "test_nextgqa_notebooks")
"""Files that take longest; they start first, so that no worker is left alone with one."""

settings.register_profile("default", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

try:
    from jaxtyping import install_import_hook
except ImportError:  # the evaluator alone is installed
    pass
else:
    # Only while testing: every annotated shape in the model is checked at each call.
    install_import_hook("cra_lib.model", "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; all else keeps its order."""

    def place(item: pytest.Item) -> int:
        file = item.path.with_suffix("").as_posix()
        return next((n for n, name in enumerate(LONG) if file.endswith(name)), len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real annotation (`nextgqa/`, `nextoe/`): the packaged files as plain ones.

    ``CRA_SHARED_DATA`` names another folder of the same layout.
    """
    if folder := os.environ.get("CRA_SHARED_DATA"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("annotation")
    names = packaged_source("nextgqa")["files"]
    training = [name for name in names if name.startswith("nextoe/")]
    unpack_dataset("nextgqa", folder / "nextgqa", only=set(names) - set(training))
    unpack_dataset("nextgqa", folder, only=training)
    return folder


@pytest.fixture(scope="session")
def deberta_config() -> Callable:
    """Makes configurations of tiny DeBERTa-v2 with the settings of the large one."""
    from transformers import DebertaV2Config

    from cra_lib.model.parameters import DEBERTA_V2

    def make(*, words: int, width: int, heads: int, layers: int = 2, inner: int = 16, **more):
        return DebertaV2Config(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inner,
            **{"max_position_embeddings": 64, "position_buckets": 8, **more},
            **DEBERTA_V2,
        )

    return make


CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> Iterator:
    """A headless Chromium, driven by Selenium; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = "chromium", "chromium-browser", "google-chrome"
    binary = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with its driver (apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


@pytest.fixture
def browser(chromium) -> Iterator:
    """The browser on an empty page, 1280 pixels wide; the page may complain of nothing."""
    resize(chromium, 1280)
    chromium.get("about:blank")
    chromium.get_log("browser")
    yield chromium
    complaints = [entry["message"] for entry in chromium.get_log("browser")]
    assert not complaints


def resize(window, width: int, height: int = 900) -> None:
    """Make the page this wide; a window cannot be made as narrow as a telephone."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture
def narrow(browser):
    """The browser, 390 pixels wide like a telephone."""
    resize(browser, 390)
    return browser


WIDER = """
const limit = document.documentElement.clientWidth, wide = [];
const right = (part) => part.getBoundingClientRect().right;
function scrolls(part) {
  for (let holder = part; holder; holder = holder.parentElement) {
    const way = getComputedStyle(holder).overflowX;
    if ((way === 'auto' || way === 'scroll') && right(holder) <= limit + 1) return true;
  }
  return false;
}
for (const part of document.querySelectorAll('table, img, svg, figure, pre, video, p, h1, h2')) {
  const seen = part.getClientRects().length;
  if (seen && right(part) > limit + 1 && !scrolls(part)) wide.push(part.outerHTML.slice(0, 120));
}
if (document.documentElement.scrollWidth > limit) wide.push('the page itself');
return wide"""


@pytest.fixture
def wider_than_page(narrow) -> Callable[[], list[str]]:
    """Tells what of a page is wider than a telephone and cannot be scrolled by itself."""
    return lambda: narrow.execute_script(WIDER)
