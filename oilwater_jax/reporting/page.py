"""report.html: one file with the table, the figures and the config, to open or to send."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oilwater_jax.files import read_json, write_text
from oilwater_jax.reporting.diagnosis import diagnose
from oilwater_jax.reporting.tables import columns, headline, result_cells, set_tables

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%}pre{background:#f6f6f6;padding:1rem;overflow:auto}"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain text cells."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def write_page(folder: Path, summary: dict[str, Any]) -> None:
    """Write report.html of a run folder from its summary, figures and config."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{html.escape(folder.name)}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(folder.name)}</h1><p>{html.escape(headline(summary))}</p>",
        table(columns(summary), result_cells(summary)),
        *(f"<p>Diagnosis: {html.escape(sentence)}</p>" for sentence in diagnose(summary)),
    ]
    for title, head, lines in set_tables(summary):
        parts += [f"<h2>{html.escape(title)}</h2>", table(head, lines)]
    for picture in sorted((folder / "figures").glob("*.png")):
        if picture.is_symlink() or not picture.is_file():
            continue
        data = base64.b64encode(picture.read_bytes()).decode()
        parts.append(f'<p><img alt="{html.escape(picture.stem)}" src="data:image/png;base64,{data}"></p>')
    for name in ("config.json", "environment.json"):
        text = html.escape(json.dumps(read_json(folder / name), indent=2))
        parts.append(f"<details><summary>{name}</summary><pre>{text}</pre></details>")
    write_text(folder / "report.html", "\n".join(parts) + "\n")
