"""The pages in a real browser: nothing is fetched, nothing overflows, what can be clicked works, contrast is enough.

    pip install -e '.[browser]' && apt-get install chromium && pytest -m slow tests/test_browser.py

Chromium is looked for as `chromium`, `chromium-browser`, `google-chrome` and `chrome`. Contrast is checked by axe-core,
which npm installs for the test. What is not there skips its tests.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile import command

from oilwater_jax.reporting import page

MAIN_JOB = Path(__file__).parent.parent / "configs/waterdigits/dlbd.py"
AXE = "axe-core@4.14.1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (360, 768, 1440)
SCHEMES = ("light", "dark")
PAGES = ("run", "table", "study", "frontier", "theory", "comparison")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra browser)")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"there is no browser ({', '.join(BROWSERS)})")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """axe-core's script."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to install axe-core with")
    made = subprocess.run(
        ["npm", "install", "--silent", "--no-save", "--ignore-scripts", f"--prefix={folder}", AXE],
        capture_output=True,
        text=True,
        env={**os.environ, "npm_config_update_notifier": "false"},
    )
    if made.returncode:
        pytest.skip(f"npm cannot install axe-core: {made.stderr.strip()[:200]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


def ran(*arguments):
    answer = command(*arguments)
    assert answer.code == 0, answer.err


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind, of smoke runs."""
    root = tmp_path_factory.mktemp("pages")
    smoke = [f"--config={MAIN_JOB}", "--config.smoke=true"]
    ran("run", *smoke, "--config.rows=erm,epic,jtt,epic+jtt", "--seeds=2", f"--workdir={root / 'run'}")
    adult = MAIN_JOB.parents[1] / "adult/tabular_trigger.py"
    ran("run", f"--config={adult}", "--config.smoke=true", f"--workdir={root / 'table'}")
    ran("study", *smoke, f"--workdir={root / 'study'}")
    rows = "--config.rows=jtt,epic,epic/jtt"
    dials = ("--dial=jtt.lambda_up=3,50", "--dial=epic.stop_after=2", "--dial=identify.warmup=0,9")  # 9 fails
    failing = command("frontier", *smoke, rows, *dials, "--workers=1", f"--workdir={root / 'frontier'}")
    assert failing.code == 1, failing.err
    ran("theory", "--grid=9", f"--workdir={root / 'theory'}")
    ran("report", root / "run", root / "table", f"--out={root / 'comparison.html'}")
    return {
        name: root / (f"{name}.html" if name == "comparison" else f"{name}/report.html") for name in PAGES
    }


class Opened:
    """A page in the browser, and what it complained of and asked for."""

    def __init__(self, browser, file: Path, width: int, scheme: str = "light", **context) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **context
        )
        self.context.set_default_timeout(120_000)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


BEYOND = """(width) => [...document.querySelectorAll("body *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && box.right > width + 1 && !one.closest(".scroll, .sheet, .beside, pre");
}).map(one => one.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("name", PAGES)
def test_it_loads_whole_and_fits(browser, pages, name):
    with Opened(browser, pages[name], 1440) as one:
        for scheme in SCHEMES:
            one.page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                one.page.set_viewport_size({"width": width, "height": 900})
                assert one.page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
                assert one.page.evaluate(BEYOND, width) == [], (scheme, width)
        assert one.page.evaluate("[...document.images].filter(one => !one.naturalWidth).length") == 0
        assert one.said == []
        assert [url for url in one.asked if not url.startswith("data:")] == [pages[name].as_uri()]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser, axe, pages, name):
    with Opened(browser, pages[name], 1440, bypass_csp=True) as one:
        one.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        one.page.add_script_tag(content=axe)
        for scheme in SCHEMES:
            one.page.emulate_media(color_scheme=scheme)
            found = one.page.evaluate("axe.run(document)")
            assert any(rule["id"] == "color-contrast" for rule in found["passes"])  # it was looked at
            serious = [
                (scheme, rule["id"], [node["html"][:160] for node in rule["nodes"][:3]])
                for rule in found["violations"]
                if rule["impact"] in ("serious", "critical")
            ]
            assert serious == []


def test_the_two_schemes_differ(browser, pages):
    with Opened(browser, pages["run"], 1440) as one:
        seen = set()
        for scheme in SCHEMES:
            one.page.emulate_media(color_scheme=scheme)
            seen.add(one.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            seen.add(one.page.evaluate("getComputedStyle(document.querySelector('svg.ink, .ink')).color"))
        assert len(seen) == 4


def test_axe_would_find_it(browser, axe, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><html lang=en><title>x</title><p style='color:#bbb;background:#fff'>pale</p>"
    )
    with Opened(browser, bad, 800) as one:
        one.page.add_script_tag(content=axe)
        found = one.page.evaluate("axe.run(document)")
    assert "color-contrast" in [rule["id"] for rule in found["violations"] if rule["impact"] == "serious"]


def test_the_gallery_is_filtered(browser, pages):
    with Opened(browser, pages["run"], 1440) as one:
        shown = "[...document.querySelectorAll('[data-reasons]')].filter(one => one.offsetParent)"
        whole = one.page.evaluate(f"{shown}.length")
        reason, members = one.page.locator(".filters select").all()
        reason.select_option(label="poisons")
        few = one.page.evaluate(f"{shown}.map(one => one.dataset.set)")
        assert 0 < len(few) < whole
        assert set(few) == {"poisons"}
        assert one.page.locator(".filters output").inner_text() == f"{len(few)} of {whole} shown"
        members.select_option(label="LRG-1")
        assert one.page.evaluate(f"{shown}.length") == 0
        reason.select_option(label="any")
        assert set(one.page.evaluate(f"{shown}.map(one => one.dataset.set)")) == {"LRG-1"}


@pytest.mark.parametrize("name", ["frontier", "comparison"])
def test_the_table_is_sorted(browser, pages, name):
    with Opened(browser, pages[name], 1440) as one:
        heads = "[...document.querySelectorAll('table.sortable thead th')]"
        at = f"{heads}.findIndex(one => one.innerText.startsWith('WGA'))"
        rows = "[...document.querySelectorAll('table.sortable tbody tr')]"
        values = f"{rows}.map(one => +one.cells[{at}].dataset.value)"
        before = one.page.evaluate(values)
        button = one.page.get_by_role("button", name="WGA").first
        button.click()
        assert one.page.evaluate(values) == sorted(before, reverse=True)
        button.click()
        assert one.page.evaluate(values) == sorted(before)
        assert one.page.locator("th[aria-sort=ascending]").count() == 1


@pytest.mark.parametrize("name", PAGES)
def test_it_reads_well_without_scripts(browser, pages, name):
    with Opened(browser, pages[name], 768, java_script_enabled=False) as one:
        assert one.page.locator("h2").count() >= 4
        assert one.page.locator(".filters").count() == 0 or not one.page.locator(".filters").is_visible()
        assert one.page.locator("main").inner_text().strip()
        if name in ("run", "table"):
            samples = one.page.locator("[data-reasons]")
            assert samples.count() > 5
            assert samples.last.is_visible()


def test_a_name_that_is_a_script_does_nothing(browser, pages, tmp_path):
    folder = tmp_path / "x<img src=y onerror=document.title='taken'>"
    folder.mkdir()
    for name in ("config.json", "environment.json", "summary.json"):
        shutil.copy(pages["run"].parent / name, folder / name)
    summary = json.loads((folder / "summary.json").read_text())
    summary["rows"]["erm"]["label"] = summary["groups"][0] = "<script>document.title='taken'</script>"
    page.write_page(folder, summary)
    with Opened(browser, folder / "report.html", 768) as one:
        assert one.page.title() == folder.name
        assert one.page.locator("h1").inner_text() == folder.name
        assert one.said == []


def test_it_prints(browser, pages):
    with Opened(browser, pages["run"], 1440, "dark") as one:
        printed = one.page.pdf(format="A4", print_background=True)
        assert printed.startswith(b"%PDF")
        one.page.emulate_media(media="print", color_scheme="light")
        assert not one.page.locator(".filters").is_visible()
        wide = one.page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX")
        assert wide == "visible"
