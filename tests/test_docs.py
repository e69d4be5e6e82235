"""README and the documentation: every command parses and runs, every tutorial executes, every link leads somewhere.

Commands are those of blocks marked `sh`. They run as they stand, page by page in a folder of their own, but for this
rule:

- `run`, `sweep`, `study` and `frontier` get `--config.smoke=true`, and `--seeds` counts 1;
- commands in the words of a tutorial are parsed; those in its cells run with the tutorial;
- commands with a stand-in (DIR, FILE, HOST:PORT, in capitals) and commands on data that must be downloaded (waterbirds,
  celeba) are parsed and not run.

Python blocks with a title are files of that name; other Python blocks run after the page's commands.
"""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from oilwater_jax import cli, new
from oilwater_jax.reporting import logs, summary
from oilwater_jax.settings import shipped
from oilwater_jax.settings.config import load
from oilwater_jax.settings.registry import BUILT_IN, known
from oilwater_jax.shapes import RUN_SUMMARY
from oilwater_jax.stages import read_metrics

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
TUTORIALS = sorted((DOCS / "tutorials").glob("*.ipynb"))
FENCED = re.compile(r"^```(\S*)(?: title=\"(.*?)\")?\n(.*?)^```$", re.M | re.S)
STAND_IN = re.compile(r"\b(DIR|FILE|NAME|HOST:PORT)\b|waterbirds|celeba")
SMOKED = ("run", "sweep", "study", "frontier")


def words_of(page: Path) -> str:
    """A page's Markdown; of a tutorial, what is between its code."""
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "markdown")


def blocks(page: Path, kind: str) -> list[tuple[str, str]]:
    """(title, text) of a page's fenced blocks."""
    return [(title or "", text) for found, title, text in FENCED.findall(words_of(page)) if found == kind]


def commands(page: Path) -> list[str]:
    text = "".join(text for _, text in blocks(page, "sh")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def as_tested(command: str) -> list[str]:
    """By the rule above."""
    words = [re.sub(r"^--seeds=\d+$", "--seeds=1", word) for word in shlex.split(command)[1:]]
    return [*words, "--config.smoke=true"] if words[0] in SMOKED and "--help-config" not in words else words


def test_there_are_commands_and_tutorials():
    assert sum(len(commands(page)) for page in PAGES) > 20
    assert len(TUTORIALS) >= 5


@pytest.mark.parametrize("page", [*PAGES, *TUTORIALS], ids=lambda page: page.stem)
def test_every_command_parses(page):
    for command in commands(page):
        assert command.startswith("oilwater "), command
        words, _ = cli.split_overrides(shlex.split(command)[1:])
        cli.parser().parse_args(words)


OF_ONE_CONFIG = ("run", "study", "frontier", "plan")


@pytest.mark.parametrize(
    "page", [one for one in (*PAGES, *TUTORIALS) if commands(one)], ids=lambda page: page.stem
)
def test_the_settings_of_every_command_fit_together(page, tmp_path, monkeypatch):
    """Without running it: its config loads with its changes; weights are not there, and files are stood in for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(shipped.names()["waterdigits/dlbd"].read_text())
    for name in ("trim.py", "hard.py"):
        (tmp_path / name).write_text((ROOT / "tests/own" / name).read_text())
    for command in commands(page):
        words, changes = cli.split_overrides(shlex.split(command)[1:])
        options = cli.parser().parse_args(words)
        if options.command in OF_ONE_CONFIG and options.config:
            weightless = {"model.init_from": ""} if "waterbirds" in options.config else {}
            config = load(options.config, changes | weightless, plugins=cli.plugins_of(options))
            assert config.is_locked
        if options.command in ("run", "sweep"):
            assert set(filter(None, options.log.split(","))) <= set(logs.WRITERS)


@pytest.mark.slow
@pytest.mark.parametrize("page", [one for one in PAGES if commands(one)], ids=lambda page: page.stem)
def test_every_command_runs(page, tmp_path):
    if "--log=tensorboard" in words_of(page):
        pytest.importorskip("tensorboardX")
    python = blocks(page, "python")
    for title, text in python:
        if title:
            (tmp_path / title).write_text(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    scripts = [text for title, text in python if not title]
    calls = [["-m", "oilwater_jax", *as_tested(one)] for one in commands(page) if not STAND_IN.search(one)]
    for call in [*calls, *(["-c", text] for text in scripts)]:
        done = subprocess.run(
            [sys.executable, *call], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (call, done.stderr)
        assert done.stdout or call[0] == "-c"


@pytest.mark.parametrize("page", [*PAGES, *TUTORIALS], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", words_of(page)):
        if link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_is_committed_with_its_outputs(tutorial):
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(tutorial, 4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    for cell in code:
        assert cell.execution_count, cell.source
        assert not any(one.output_type == "error" for one in cell.outputs)
    text = tutorial.read_text()
    assert not re.search(r"/(tmp|home|root|work)/", text), "a path of somebody's machine"


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_executes(tutorial, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    if tutorial.stem == "tpu_plan":
        pytest.importorskip("libtpu")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    script = runpy.run_path(str(ROOT / ".ci/tutorials.py"))
    before, after = nbformat.read(tutorial, 4), script["executed"](tutorial, tmp_path)

    def kinds(book):
        return [[one.output_type for one in cell.get("outputs", ())] for cell in book.cells]

    assert kinds(after) == kinds(before)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs_jupyter")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file=.ci/mkdocs.yml"]
    done = subprocess.run([*command, f"--site-dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (page for page in (*PAGES, *TUTORIALS) if page.is_relative_to(DOCS)):  # not README
        name = page.relative_to(DOCS).with_suffix("")
        path = tmp_path / ("" if page.stem == "index" else name) / "index.html"
        assert path.exists(), path
    # It asks no other host for anything.
    for path in tmp_path.rglob("*.html"):
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', path.read_text()), path


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / ".ci/mkdocs.yml").read_text())
    named = set(re.findall(r"[\w/]+\.(?:md|ipynb)", str(config["nav"])))
    assert named == {str(page.relative_to(DOCS)) for page in (*PAGES[1:], *TUTORIALS)}


def first_cells(page: str) -> set[str]:
    return set(re.findall(r"^\| (.*?) \|", (DOCS / page).read_text(), re.M))


def test_the_glossary_has_every_figure_and_mode():
    terms = ", ".join(first_cells("glossary.md"))
    for term in (
        "ACC",
        "WGA",
        "ASR",
        "IDNF",
        "ELMF",
        "LRG-1",
        "HRG-1",
        "untriggered",
        "ideal",
        "worst",
        "JTT",
        "EPIc",
    ):
        assert term in terms, term


def test_names_in_the_docs_are_names():
    names = {name for kind in BUILT_IN for name in known().names(kind)}
    table = (DOCS / "concepts.md").read_text().split("| aim |")[1].split("\n\n")[0]
    aims = {}
    for line in table.splitlines()[2:]:
        aim, _, examples = line.strip("| ").split(" | ")
        aims[aim.strip("`")] = re.findall(r"`(\w+)`", examples)
    for aim, methods in aims.items():
        assert methods
        for method in methods:
            assert known().method(method).aim == aim
    data = {name for cell in first_cells("data.md") for name in re.findall(r"`(\w+)`", cell)}
    assert data == set(BUILT_IN["data"])
    assert data <= names
    for page in PAGES:
        for name in re.findall(r"--config=(?!configs|experiments)([a-z]+/[a-z_0-9]+)", page.read_text()):
            assert name in shipped.names(), name
        for kind in re.findall(r"oilwater new (\w+)", page.read_text()):
            assert kind in new.kinds()


def test_the_schema_of_a_run_folder_is_that_of_a_run(tmp_path, capsys):
    run = ["run", "--config=waterdigits/dlbd", f"--workdir={tmp_path}/run", "--config.smoke=true"]
    with pytest.raises(SystemExit) as caught:
        cli.main([*run, "--config.rows=erm,epic,jtt", "--log=jsonl"])
    assert caught.value.code == 0
    page, folder = (DOCS / "run_folder.md").read_text(), tmp_path / "run"
    main = page.split("## A row")[0]
    named = re.findall(r"^\| `(.*?)` \|", main, re.M)
    for name in named:
        pattern = re.sub("SEED|STAGE", "*", name).rstrip("/")
        assert list(folder.glob(pattern)), name
    tops = {name.split("/")[0] for name in named}
    assert {path.name for path in folder.iterdir()} == tops
    keys = set(re.findall(r"`(\w+)`", page.split("## A row")[1].split("## `summary")[0]))
    for row in read_metrics(folder / "metrics.jsonl"):
        assert set(row) - keys <= {"train_acc"}  # of pretraining
    result = summary.read(folder)
    assert result is not None
    table = page.split("## `summary.json`")[1].split("A row's figure")[0]
    keys = {key for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for key in re.findall(r"`(\w+)`", cell)}
    assert keys == set(RUN_SUMMARY)
    assert keys <= set(result)
