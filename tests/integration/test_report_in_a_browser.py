"""The report in a real Chromium: every chart drawn, nothing fetched, no error, on a desktop, a phone and paper."""

import shutil
import subprocess

import browser
import pytest
import simulated_study
from report import report

pytestmark = pytest.mark.skipif(not browser.found(), reason="needs chromium (apt-get install chromium)")
DRAWN = "document.documentElement?.dataset.charts === 'drawn'"
# charts without a mark that a reader could see
EMPTY = """[...document.querySelectorAll('.chart')].filter(chart =>
    ![...chart.querySelectorAll('svg .mark-symbol path, svg .mark-rect path, svg .mark-line path')].some(mark => {
        const box = mark.getBoundingClientRect(); return box.width + box.height > 1; })).map(chart => chart.id)"""
# texts of charts that stick out of their drawing
CUT = """[...document.querySelectorAll('.chart svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width > 0 && (box.left < frame.left - 2 || box.right > frame.right + 2);
    }).map(text => svg.closest('.chart').id + ': ' + text.textContent); })"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a simulated study that has something of everything, opened on a desktop."""
    folder = tmp_path_factory.mktemp("everything")
    bias = [
        "contextual-intersectional-implicit",
        "contrastive-explicit",
        "neutral",
        "planted-000",
        "planted-100",
        "faithful",
    ]
    config = simulated_study.configuration("full", bias=bias, gamma=[0.0, 0.2, 0.5], seed=[1, 2])
    config["rounds"]["count"] = 2
    arguments = simulated_study.write(folder, config, datasets=2, misalignment=True)
    report(page=folder / "report.html", **arguments)
    with browser.Page(f"file://{folder}/report.html") as opened:
        opened.wait_for(DRAWN)
        yield opened


def test_every_chart_is_drawn(page):
    assert page.evaluate("document.querySelectorAll('.chart').length") > 25
    assert page.evaluate(EMPTY) == []
    assert page.evaluate(CUT) == []


def test_no_error_and_no_request(page):
    assert [entry for entry in page.console if entry[0] in ("error", "exception", "warning")] == []
    assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "blob"}
    assert sum(address.startswith("file") for address in page.requests) == 1
    # a request that the page itself might make is refused by its policy
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    page.console.clear()


def test_generated_markup_is_text(page):
    assert "Bias inheritance" in page.evaluate("document.title")
    assert page.evaluate("document.querySelectorAll('blockquote script, blockquote *').length") == 0


def test_a_click_on_a_number_shows_its_rows(page):
    page.evaluate("document.querySelector('#effects a.n').click()")
    shown = page.evaluate("document.getElementById('trace').innerText")
    assert "scores.csv, rows" in shown and "minus rows" in shown
    assert ".venv/bin/python scripts/trace.py results/full/scores.csv --row" in shown
    page.evaluate("document.querySelector('#trace button').click()")
    assert page.evaluate("document.getElementById('trace').hidden")


def test_a_click_on_a_mark_shows_its_rows(page):
    page.evaluate("document.querySelector('#effects .chart').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y = page.evaluate(
        "(() => { const b = document.querySelector('#effects .chart .mark-symbol path[fill]:not([d=\"\"])')"
        ".getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    page.wait_for("!document.getElementById('trace').hidden")
    assert "scores.csv, row" in page.evaluate("document.getElementById('trace').innerText")
    page.evaluate("document.querySelector('#trace button').click()")


def test_every_section_has_a_picture(page, tmp_path):
    sections = page.evaluate("[...document.querySelectorAll('main > section')].map(section => section.id)")
    assert len(sections) > 15
    for name in sections:
        picture = page.picture(f"#{name}")
        (tmp_path / f"{name}.png").write_bytes(picture)
        assert picture.startswith(b"\x89PNG") and len(picture) > 2000


def test_paper_shows_the_charts(page, tmp_path):
    (tmp_path / "report.pdf").write_bytes(page.pdf())
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext (apt-get install poppler-utils)")
    text = subprocess.run(
        ["pdftotext", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert (
        "Limits of this run" in text and "Bias effect (minus neutral)" in text
    )  # the second stands in a chart's legend


def test_a_phone_shows_all_without_scrolling_sideways(page):
    page.resize(360, 740)
    page.evaluate("document.documentElement.dataset.charts = 'again'")
    page.ask("Page.reload")
    page.wait_for(DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(EMPTY) == []
    assert page.evaluate("document.querySelector('table.verdicts').getBoundingClientRect().width") <= 360


def test_the_full_grid_stays_under_six_megabytes(tmp_path):
    arguments = simulated_study.write(tmp_path, simulated_study.configuration("full"), misalignment=True)
    assert len(arguments["cells"]) == 965
    report(page=tmp_path / "report.html", **arguments)
    assert (tmp_path / "report.html").stat().st_size < 6e6
    with browser.Page(f"file://{tmp_path}/report.html") as opened:
        opened.wait_for(DRAWN)
        assert opened.evaluate(EMPTY) == []
        assert [entry for entry in opened.console if entry[0] in ("error", "exception", "warning")] == []
