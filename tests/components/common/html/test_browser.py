"""The pages in a real browser: width, contrast, keyboard, text alternatives, sorting; one session for all of them."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.calibrate.page import reliability_page
from components.calibrate.report import measure
from components.common.artifacts.snapshot import Snapshot
from components.train.report import curves_page
from components.validate.checks.run import check_scan
from components.validate.report.page import render_docs
from recap_model.calibration import LogitHistogram, fit_calibrations
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.training import Progress
from tests.components.evaluate.reports import make_report, measured
from tests.components.snapshots import snapshot_of
from tests.components.validate.scans import scan
from tests.tiny import tiny_config, write_tiny_log

pytest.importorskip("playwright", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"{CHROMIUM} is not installed", allow_module_level=True)

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

NARROW, WIDE, A4 = 360, 1400, 794  # px; A4 is 210 mm at 96 dpi
_LEAST_CONTRAST = 4.5  # WCAG 2.2 AA, of text under 24 px

# Texts whose contrast with what is painted behind them is too low.
_TOO_FAINT = """least => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
    if (!text || element.closest("script, style, title, .hidden")) continue;
    const style = getComputedStyle(element);
    const front = luminance(channels(element.closest("svg") ? style.fill : style.color));
    const back = luminance(behind(element));
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < least) faint.add(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return [...faint];
}"""
_UNREACHABLE = """() => [...document.querySelectorAll("a[href], summary, th button, input, .scroll")]
  .filter(e => e.checkVisibility() && e.tabIndex < 0).map(e => e.outerHTML.slice(0, 80))"""
_WITHOUT_ALTERNATIVE = """() => [...document.querySelectorAll("figure")].filter(figure =>
    !(figure.querySelector("svg[role=img]")?.getAttribute("aria-label")?.length > 20)
    || !figure.querySelector("details table")).length"""

# Texts of a chart that cover each other or leave its frame, charts without a mark, heads not above their columns.
_MISPLACED = """() => {
  const wrong = [], box = element => element.getBoundingClientRect(), shown = e => box(e).width > 0;
  for (const svg of document.querySelectorAll("figure svg")) {
    if (!shown(svg)) continue;
    const frame = box(svg), texts = [...svg.querySelectorAll("text")].filter(shown);
    texts.forEach((one, number) => {
      const a = box(one);
      const out = [frame.left - a.left, a.right - frame.right, frame.top - a.top, a.bottom - frame.bottom];
      if (Math.max(...out) > 2) wrong.push("clipped: " + one.textContent);
      for (const other of texts.slice(number + 1)) {
        const b = box(other), across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 0.3 * Math.min(a.height, b.height))
          wrong.push(`overlapping: ${one.textContent} | ${other.textContent}`);
      }
    });
    if (![...svg.querySelectorAll("path, rect, circle, line")].some(shown)) wrong.push("blank: " + svg.ariaLabel);
  }
  for (const table of document.querySelectorAll("table")) {
    const row = table.tBodies[0].rows[0];
    if (!row || !shown(table)) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (Math.abs(box(head).left - box(row.cells[column]).left) > 1) wrong.push("not above: " + head.textContent);
    });
  }
  return wrong;
}"""


def evaluation_page() -> str:
    tasks = {"like": measured(1.1), "a_reply_that_the_author_of_the_post_engaged_with": measured(-2.0)}
    return make_report(tasks, {"most common language": dict.fromkeys(tasks, measured(-36.1, 1.2))})[1]


def calibration_page() -> str:
    random = np.random.default_rng(2)
    logits = random.normal(-2.0, 1.0, (4000, 1))
    labels = (random.random((4000, 1)) < 1 / (1 + np.exp(-1.5 * logits))).astype(float)
    histogram = LogitHistogram(["like"])
    histogram.add(logits, labels, np.ones_like(logits), np.arange(4000) % 5)
    return reliability_page(measure(histogram, fit_calibrations(histogram, CalibrationConfig())))


def training_page() -> str:
    reports = [
        Progress(
            step=step,
            steps=100,
            epoch=step // 50,
            rows=64 * step,
            loss=1 / step,
            losses={"like": 1 / step},
            learning_rates={"shared": 0.01, "like": 0.1 / step},
            rows_per_s=1e4,
            seconds_left=0.0,
            held_out_loss=1 / step + 0.001 * step,
            held_out_losses={"like": 1 / step + 0.001 * step},
            gradient_norm=10 / step,
        )
        for step in (1, *range(20, 101, 20))
    ]
    return curves_page(reports, "fp32", tiny_config())


def data_page() -> str:
    with tempfile.TemporaryDirectory() as folder:
        log = write_tiny_log(Path(folder) / "log")
        frozen, config = Snapshot.read(snapshot_of(log, tiny_config(), Path(folder) / "snapshot"))
        scanned = scan(frozen, config)
        return render_docs(check_scan(scanned, frozen, config, {}), scanned.profile, config, {}, frozen)


PAGES = {
    "data": data_page,
    "training": training_page,
    "calibration": calibration_page,
    "evaluation": evaluation_page,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": WIDE, "height": 900})
    errors: list[str] = []
    opened.on("console", lambda message: errors.append(message.text))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_content(PAGES[request.param]())
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    yield opened
    opened.close()
    assert errors == []


def test_nothing_is_wider_than_the_window_or_the_sheet(page: Page):
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width, media in ((NARROW, "screen"), (WIDE, "screen"), (A4, "print")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(media=media)
        assert page.evaluate(overflow) <= 0, (width, media)
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": WIDE, "height": 900})


def test_no_text_of_a_chart_is_covered_or_clipped_and_heads_stand_above_their_columns(page: Page):
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(_MISPLACED) == [], width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa(page: Page, theme: str):
    page.emulate_media(color_scheme=theme)
    assert page.evaluate(_TOO_FAINT, _LEAST_CONTRAST) == []


def test_everything_is_reached_by_the_keyboard_and_every_chart_has_a_text_and_a_table(page: Page):
    assert page.evaluate(_UNREACHABLE) == []
    assert page.evaluate(_WITHOUT_ALTERNATIVE) == 0
    assert page.evaluate("document.querySelectorAll('figure').length") > 0


def test_a_column_sorts_by_the_keyboard_and_a_chart_is_drawn(browser: Browser):
    page = browser.new_page()
    page.set_content(evaluation_page())
    page.get_by_text(re.compile("^Metrics of each task")).click()
    table = page.locator(".scroll[aria-label='Metrics of each task']")
    table.locator("th button").first.focus()
    page.keyboard.press("Enter")
    ascending = table.locator("tbody td").first.inner_text()
    page.keyboard.press("Enter")
    assert table.locator("tbody td").first.inner_text() == "like"
    assert ascending.startswith("a_reply")
    assert page.locator("th[aria-sort=descending]").count() == 1
    box = page.locator("figure svg").first.bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert box["height"] > 50
    page.close()
