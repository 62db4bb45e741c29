"""The report in a real Chromium: charts with marks, nothing fetched, rows that can be linked to, a phone, paper, no scripts."""

import shutil
import subprocess

import browser
import pytest
import simulated_study
from report import report

pytestmark = pytest.mark.skipif(not browser.chromium_path(), reason="needs chromium (apt-get install chromium)")
LOADED = "document.readyState === 'complete'"
OPEN_ALL = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"
EMPTY = """[...document.querySelectorAll('.chart')].filter(chart => chart.clientWidth).filter(chart =>
    ![...chart.querySelectorAll('svg .mark-symbol path, svg .mark-line path')].some(mark => {
        const box = mark.getBoundingClientRect(); return box.width + box.height > 1; })
    ).map(chart => chart.parentElement.innerText.slice(0, 60))"""
# controls without a name, and controls within controls or pictures
UNNAMED = """[...document.querySelectorAll('a, button, summary, [role=img], [role=region], [tabindex]')].filter(
    e => !(e.getAttribute('aria-label') ?? e.textContent).trim()).map(e => e.outerHTML.slice(0, 80))"""
NESTED = """[...document.querySelectorAll('a, button, summary, [role=img]')].flatMap(e =>
    [...e.querySelectorAll('button, summary, select, input, [tabindex], a a')]).map(e => e.outerHTML.slice(0, 80))"""
# texts whose contrast with the colours behind them is below 4.5, charts aside
PALE = """(() => {
    const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
    const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
    const behind = e => e ? over(parse(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : [255, 255, 255];
    const opacity = e => e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1;
    return [...document.querySelectorAll('body *')].filter(e => !e.closest('svg, script, .skip')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).filter(e => {
        const back = behind(e), ink = parse(getComputedStyle(e).color);
        ink[3] *= opacity(e);
        const [a, b] = [light(over(ink, back)), light(back)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5;
    }).map(e => e.outerHTML.slice(0, 100)); })()"""


# captions of tables of which a part is visible only after scrolling the table sideways
HIDDEN_CAPTIONS = """[...document.querySelectorAll('.scroll')].filter(box => {
    const range = document.createRange();
    range.selectNodeContents(box.querySelector('caption'));
    return range.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
}).map(box => box.ariaLabel)"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The report of a simulated study that has something of everything."""
    folder = tmp_path_factory.mktemp("everything")
    bias = ["contextual-intersectional-implicit", "contrastive-explicit", "balanced", "neutral", "faithful"]
    bias += ["associated-000", "associated-100", "planted-000", "planted-100"]
    config = simulated_study.configuration(
        "full", bias=bias, gamma=[0.0, 0.2, 0.5], seed=[1, 2], mitigation=["none", "loss"]
    )
    config["rounds"]["count"] = 2
    report(page=folder / "report.html", **simulated_study.write(folder, config, datasets=2, misalignment=True))
    return folder


@pytest.fixture(scope="module")
def page(folder):
    with browser.Page(f"file://{folder}/report.html", timeout=600) as opened:
        opened.wait_for(LOADED)
        yield opened


def test_no_error_and_no_request(page):
    assert [entry for entry in page.console if entry[0] in ("error", "exception", "warning")] == []
    assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "blob"}
    assert sum(address.startswith("file") for address in page.requests) == 1
    # a request that the page itself might make is refused by its policy
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    page.console.clear()


def test_generated_markup_is_text(page):
    assert "Bias inheritance" in page.evaluate("document.title")
    assert page.evaluate("document.querySelectorAll('blockquote *, pre *').length") == 0


def test_the_address_of_a_row_opens_its_folds_and_marks_it(page):
    row = page.evaluate("document.querySelector('#effects details tr[id]').id")
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = false; })")
    page.evaluate(f"location.hash = '{row}'")
    page.wait_for(f"document.getElementById('{row}').matches(':target')")
    box = page.evaluate(
        f"(() => {{ const b = document.getElementById('{row}').getBoundingClientRect(); return [b.top, b.height]; }})()"
    )
    assert 0 <= box[0] <= 900 and box[1] > 0


def test_a_click_on_a_mark_leads_to_its_row(page):
    page.evaluate("history.replaceState(null, '', ' ')")
    page.evaluate(
        "document.querySelector('#inheritance .chart').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    x, y = page.evaluate(
        "(() => { const b = document.querySelector('#inheritance .chart .mark-symbol path').getBoundingClientRect();"
        " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    page.wait_for("location.hash.startsWith('#inheritance-') && document.querySelector('tr:target') !== null")


def test_the_page_can_be_used_by_ear_and_by_keyboard(page):
    page.evaluate(OPEN_ALL)
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(NESTED) == []
    assert page.evaluate(PALE) == []


def test_every_chart_has_marks_once_its_fold_is_open(page):
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.querySelectorAll('.chart').length") > 15
    assert page.evaluate(EMPTY) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_series_have_a_legend(page):
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.querySelectorAll('#rounds details .chart .mark-group.role-legend-entry').length") > 0


def test_paper_holds_what_the_folds_hold(page, tmp_path):
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = false; })")
    (tmp_path / "report.pdf").write_bytes(page.pdf())
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext (apt-get install poppler-utils)")
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "Digest of everything upstream" in text
    assert "Permutation p" in text and "A simulated biography of male number 0" in text  # both in folds


def test_a_phone_shows_all_without_scrolling_sideways(folder):
    with browser.Page(f"file://{folder}/report.html", width=390, height=844, timeout=600) as phone:
        phone.wait_for(LOADED)
        phone.evaluate(OPEN_ALL)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        assert phone.evaluate(HIDDEN_CAPTIONS) == []
        assert phone.evaluate(EMPTY) == []


def test_without_scripts_there_are_charts(folder):
    with browser.Page("about:blank", timeout=300) as plain:
        plain.ask("Emulation.setScriptExecutionDisabled", value=True)
        plain.ask("Page.navigate", url=f"file://{folder}/report.html")
        marks = []
        while len(marks) < 10:  # or the page's own timeout ends it
            root = plain.ask("DOM.getDocument", depth=-1)["root"]["nodeId"]
            marks = plain.ask("DOM.querySelectorAll", nodeId=root, selector="#answer .chart svg path")["nodeIds"]
