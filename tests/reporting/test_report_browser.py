"""The report in a real browser: sorted by clicks, folded where long, whole on a telephone."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from cra_lib.paths import ResultFiles
from cra_lib.reporting import figures, report, tables

CELLS = """
const table = [...document.querySelectorAll('.scroll table')].find(
  (table) => table.tHead.innerText.includes(arguments[0]));
const place = [...table.tHead.rows[0].cells].findIndex((c) => c.innerText.includes(arguments[0]));
return [...table.tBodies[0].rows].map((row) => row.cells[place].innerText)"""
CLICK = """
[...document.querySelectorAll('th button')].find(
  (button) => button.innerText.includes(arguments[0])).click()"""


@pytest.fixture(scope="module")
def page(made_up, tmp_path_factory) -> str:
    """The address of a report with a table, a wide figure and forty verdicts."""
    files = ResultFiles(tmp_path_factory.mktemp("report") / "shapes")
    shutil.copytree(made_up.results.root, files.root)
    scores = tables.read_scores(files)
    tables.write_table(tables.main_table(scores, "test"), files.tables, "main")
    figures.save(figures.score_points(scores, "test"), files.figures, "main_scores")
    rows = [
        {"method": f"method {n}", "obtained": n / 3, "verdict": ("ok", "outside")[n % 2]}
        for n in range(40)
    ]
    facts = report.page_facts("shapes", files) | {"verdicts": tables.to_html(pd.DataFrame(rows))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "page_facts", lambda dataset, results: facts)
        return report.write_report("shapes", files).as_uri()


def test_a_click_sorts_a_column_and_another_turns_it_round(browser, page):
    browser.get(page)
    before = browser.execute_script(CELLS, "Acc@GQA")
    browser.execute_script(CLICK, "Acc@GQA")
    rising = browser.execute_script(CELLS, "Acc@GQA")
    numbers = [float(text.split()[0]) for text in rising if text[:1].isdigit()]
    assert len(numbers) >= 5 and numbers == sorted(numbers) and sorted(before) == sorted(rising)
    browser.execute_script(CLICK, "Acc@GQA")
    falling = browser.execute_script(CELLS, "Acc@GQA")
    assert [float(text.split()[0]) for text in falling if text[:1].isdigit()] == numbers[::-1]
    state = "return document.querySelector('th[aria-sort]').getAttribute('aria-sort')"
    assert browser.execute_script(state) == "descending"


def test_the_long_table_is_folded_until_asked_for(browser, page):
    browser.get(page)
    height = "return document.getElementById('all-verdicts').getBoundingClientRect().height"
    folded = browser.execute_script(height)
    browser.execute_script("document.querySelector('#all-verdicts summary').click()")
    assert folded < 60 and browser.execute_script(height) > folded + 600
    assert browser.execute_script(CELLS, "verdict")[:2] == ["ok", "outside"]


def test_a_telephone_shows_all_of_it(narrow, page, wider_than_page):
    narrow.get(page)
    narrow.execute_script("document.querySelector('#all-verdicts').open = true")
    assert wider_than_page() == []
