"""report.html of a run or a study: one self-contained file, a function of the folder's content."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from oilwater_jax.files import read_json, write_text
from oilwater_jax.intervals import SHARE, over_seeds
from oilwater_jax.reporting import glossary, palette
from oilwater_jax.reporting import study as studies
from oilwater_jax.reporting.charts import Chart, Dots, Series, chart, dots
from oilwater_jax.reporting.diagnosis import diagnose
from oilwater_jax.reporting.grid import lines_of
from oilwater_jax.reporting.pictures import dot, figures
from oilwater_jax.reporting.study_advantage import labels
from oilwater_jax.reporting.summary import set_label, verdict
from oilwater_jax.reporting.tables import PageTable, columns, headline, result_cells, set_tables
from oilwater_jax.reporting.templating import render
from oilwater_jax.reporting.traces import NONE, Traces
from oilwater_jax.settings.config import flatten
from oilwater_jax.settings.field import Field
from oilwater_jax.shapes import NET

NATIVE = ("rates.", "elimination.")  # begin the names of figures that the page draws itself


class Setting(NamedTuple):
    """A setting that differs from its default."""

    path: str
    default: str
    value: str
    help: str


def write_page(folder: Path, summary: dict[str, Any], traces: Traces = NONE) -> None:
    """Write report.html of a run folder from its summary, config, environment and figures, and the run's traces."""
    config, environment = (read_json(folder / f"{name}.json") or {} for name in ("config", "environment"))
    sets = set_tables(summary)
    without = NATIVE
    if (
        traces.gallery and not traces.gallery.columns
    ):  # it shows these images; it has no bars of a table's groups
        without += ("flagged_", "training_images")
    looked, not_shown = figures(folder, without)
    text = render(
        "run.html",
        name=folder.absolute().name,
        sentence=sentence(summary, config),
        headline=headline(summary),
        smoke=summary["smoke"],
        result=with_terms(columns(summary), result_cells(summary)),
        diagnosis=diagnose(summary),
        rates=rates(summary),
        groups=group_table(summary),
        sets=[PageTable(head, lines, glossary.meanings(head), [], title) for title, head, lines in sets],
        set_terms=glossary.definitions(text for one in sets for text in (one.title, *one.head)),
        rounds=rounds(summary),
        looked=looked,
        not_shown=not_shown,
        traces=traces,
        **about(config, summary, traces.fields, environment),
    )
    write_text(folder / "report.html", text)


def write_study_page(folder: Path, summary: dict[str, Any], fields: Mapping[str, Field]) -> None:
    """Write report.html of a study's folder from its summary, config, environment and figures."""
    config, environment = (read_json(folder / f"{name}.json") or {} for name in ("config", "environment"))
    epochs = [str(epoch) for epoch in summary["epochs"]]
    tables = [
        with_terms(["score after epoch", *epochs], studies.lines(summary, question), studies.title(question))
        for question in summary["auroc"]
    ]
    looked, not_shown = figures(folder)
    findings = studies.findings(summary)
    text = render(
        "study.html",
        name=folder.absolute().name,
        sentence=f"{findings[0][:1].upper()}{findings[0][1:]}." if findings else "",
        headline=studies.headline(summary),
        smoke=bool(config.get("smoke")),
        findings=findings,
        tables=tables,
        intervals=studies.interval_words(summary),
        terms=glossary.definitions(["AUROC", *(one for q in summary["auroc"] for one in labels(q))]),
        looked=looked,
        not_shown=not_shown,
        **about(config, summary, fields, environment),
    )
    write_text(folder / "report.html", text)


def about(
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    fields: Mapping[str, Field],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """What the sections on settings and provenance say."""
    return {
        "settings": changed(config, fields) if fields else None,
        "all_settings": json.dumps(config, indent=2),
        "machine": machine(environment),
        "environment": json.dumps(environment, indent=2),
        "seeds": summary["seeds"],
        "key": summary["key"],
        "digest": summary["sha256"],
    }


def with_terms(head: Sequence[str], lines: Sequence[Sequence[str]], title: str = "") -> PageTable:
    """A table and the terms of its title and headings."""
    return PageTable(head, lines, glossary.meanings(head), glossary.definitions([title, *head]), title)


def sentence(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The result in one sentence: the training with the best worst-group accuracy, against ERM."""
    on = f"On {config['data']['name']}" if config else "Here"
    attack = config.get("attack", {}).get("name", "none")
    under = "" if attack == "none" else f" under the attack {attack}"
    rows = {
        key: row
        for key, row in summary["rows"].items()
        if row.get("wga") is not None and not row["oracle"] and "@" not in key
    }
    if not rows:
        found = [
            f"{one['label']} flags {_cent(one['idnf'].get('poison'))} of the poisons"
            for one in summary["found"].values()
        ]
        return f"{on}{under}, {'; '.join(found) or 'nothing was trained'}."
    best = max(rows.values(), key=lambda row: row["wga"])
    erm = rows.get("erm")
    said = f"{on}{under}, {best['label']} has the highest worst-group accuracy"
    if len(rows) == 1 or erm is None:
        said = f"{on}{under}, {best['label']} has a worst-group accuracy of {_cent(best['wga'])}"
        return f"{said}{_success(summary, best, None)}."
    if best is erm:
        others = max((row for row in rows.values() if row is not erm), key=lambda row: row["wga"])
        return (
            f"{said} ({_cent(erm['wga'])}; the next is {others['label']}, {_cent(others['wga'])})"
            f"{_success(summary, erm, None)}."
        )
    return f"{said} ({_cent(best['wga'])}; ERM {_cent(erm['wga'])}){_success(summary, best, erm)}."


def _success(summary: Mapping[str, Any], row: Mapping[str, Any], erm: Mapping[str, Any] | None) -> str:
    """How the attack fares against a training, beside ERM; empty where there is no attack to speak of."""
    measures = summary["measures"]
    name = verdict(summary)
    if row.get(name) is None or not any(summary["n_poison_seeds"]):
        return ""
    base = summary["baseline"]
    known = name != NET and row.get(base) is not None
    without = f"; {_cent(row[base])} {measures[base]}" if known else ""
    beside = "" if erm is None else f"ERM {_cent(erm.get(name))}"
    brackets = f" ({beside}{without})".replace("(; ", "(") if beside or without else ""
    return f", and the attack's {measures[name]} against it is {_cent(row[name])}{brackets}"


def _cent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:.1f}%"


def rates(summary: Mapping[str, Any]) -> list[Dots]:
    """Worst-group accuracy and, where there is an attack, its measures: a panel each, a row for each training."""
    if not summary["rows"]:
        return []
    shown = [("wga", "worst-group accuracy, %", palette.Style(palette.BLUE, "o", ()))]
    for name, heading in summary["measures"].items():
        mark = "X" if name != summary["baseline"] else "D"
        tone = palette.VERMILLION if name != summary["baseline"] else palette.GREY
        shown.append((name, f"{heading}, %", palette.Style(tone, mark, ())))
    lines = [line for line in lines_of("", dict(summary)) if line.training in summary["rows"]]
    panels = []
    for name, title, style in shown:
        if any(name in line.figures for line in lines):
            values = [
                dot(line.label, line.figures.get(name), summary["rows"][line.training][f"{name}_seeds"])
                for line in lines
            ]
            panels.append(dots(title, style, values))
    return panels


def group_table(summary: Mapping[str, Any]) -> PageTable | None:
    """Accuracy of each training on each group of the split that is evaluated."""
    if not summary["rows"]:
        return None
    lines = []
    for row in summary["rows"].values():
        by_group = zip(*row["group_acc_seeds"], strict=True)
        cells = [over_seeds(values, SHARE) for values in by_group]
        lines.append([row["label"], *("-" if one is None else str(one) for one in cells)])
    return PageTable(["training", *summary["groups"]], lines, {}, [])


def rounds(summary: Mapping[str, Any]) -> list[Chart]:
    """What the rounds of defences have eliminated of each set by epoch, mean over the seeds; a panel per training."""
    panels = []
    for row in summary["rows"].values():
        shares: dict[str, dict[int, list[float]]] = {}
        for one in (one for own in row["rounds_seeds"] for one in own):
            for name, share in one["elmf"].items():
                if share is not None:
                    shares.setdefault(name, {}).setdefault(one["epoch"], []).append(share)
        lines = [
            Series(
                set_label(name),
                palette.of_set(name),
                [(float(epoch), sum(values) / len(values)) for epoch, values in sorted(by_epoch.items())],
            )
            for name, by_epoch in shares.items()
        ]
        if lines:
            panels.append(chart(row["label"], lines, x_label="round at the start of epoch"))
    return panels


def changed(config: Mapping[str, Any], fields: Mapping[str, Field]) -> list[Setting]:
    """The settings of a config that are not at their defaults; of a run whose fields are not known: none."""
    found = []
    for path, value in flatten(config).items():
        if path in fields:
            default = json.loads(json.dumps(fields[path].default))
            if value != default:
                found.append(Setting(path, _text(default), _text(value), fields[path].help))
    return found


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def machine(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run was made on and by, name and value."""
    packages = environment.get("packages")
    devices = environment.get("devices")
    command = environment.get("command")
    found = {
        "begun": environment.get("started"),
        "command": " ".join(map(str, command)) if isinstance(command, list) else None,
        "oilwater_jax": environment.get("oilwater_jax"),
        "Python": environment.get("python"),
        "platform": environment.get("platform"),
        "devices": f"{environment.get('backend')}: {', '.join(map(str, devices))}"
        if isinstance(devices, list)
        else None,
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items())
        if isinstance(packages, dict)
        else None,
    }
    later = environment.get("later")
    if isinstance(later, list) and later:
        found["gone on with"] = f"{len(later)} more times elsewhere or by other versions"
    return [(name, str(value)) for name, value in found.items() if value is not None]
