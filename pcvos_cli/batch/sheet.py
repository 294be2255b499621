"""``contact.html``: the whole batch on one page, what should be looked at first at its top."""

import base64
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pcvos_cli.batch.ledger import FAILED
from pcvos_cli.batch.work import PICTURES
from pcvos_cli.files import whole

SHEET = "contact.html"

PICTURED = 1000
"""Rows that get a picture, the most suspicious ones: keeps the page below some 40 MB."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; --bad: #d33; --odd: #b80; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1280px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } .counts { color: var(--dim); margin: .2rem 0 1.2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .5rem .8rem .5rem 0; vertical-align: top;
  text-align: left; }
th { border: 0; color: var(--dim); font-weight: 500; padding-bottom: .2rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.picture { width: 540px; } img { width: 540px; max-width: 50vw; display: block;
  border-radius: 4px; }
.none { color: var(--dim); } .name { font-weight: 600; overflow-wrap: anywhere; }
.failed .status { color: var(--bad); font-weight: 600; }
.odd .status { color: var(--odd); font-weight: 600; }
ul { margin: .3rem 0 0; padding-left: 1.1rem; } li { overflow-wrap: anywhere; }
.hint { color: var(--dim); }
"""

_HEADS = ("first, middle and last frame", "video", "frames", "objects", "FPS")
_NUMBERS = 2  # Columns from here on are numbers.


def write_sheet(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the page of a batch; it refers to no other file but the results, by links.

    Args:
        out: The batch's folder; the pictures are in it.
        rows: Lines of the ledger.

    Raises:
        OutputError: It cannot be written.
    """
    with (
        whole(out / SHEET) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace") as page,
    ):
        page.writelines(_page(out, rows))


def _page(out: Path, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the page part by part: its pictures are in memory one at a time."""
    ranked = sorted(rows, key=lambda row: (row["status"] != FAILED, -row.get("suspicion", 0)))
    failed = sum(row["status"] == FAILED for row in rows)
    odd = sum(row.get("suspicion", 0) > 0 for row in rows)
    title = escape(out.resolve().name)
    counts = [f"{len(rows)} videos", f"{failed} failed", f"{odd} to be looked at"]
    frames = sum(row.get("frames", 0) for row in rows)
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}: {counts[1]}, {counts[2]}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        f'<p class="counts">{", ".join(counts)}; {frames} frames. Failed ones first, then '
        "the odd ones.</p>\n"
    )
    heads = "".join(
        f'<th class="{"number" if number >= _NUMBERS else ""}">{head}</th>'
        for number, head in enumerate(_HEADS)
    )
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>\n"
    for number, row in enumerate(ranked):
        yield _row(out, row, pictured=number < PICTURED)
    yield "</tbody></table></body></html>\n"


def _row(out: Path, row: dict[str, Any], *, pictured: bool) -> str:
    name = escape(row["job"])
    failed = row["status"] == FAILED
    kind, status = "failed" if failed else "", ""
    remarks = [escape(text) for text in row.get("signs", ())]
    if failed:
        status = f"failed, exit code {row['exit_code']}"
        remarks = [escape(row["error"])]
        if row.get("hint"):
            remarks.append(f'<span class="hint">{escape(row["hint"])}</span>')
    elif row.get("suspicion"):
        kind, status = "odd", "look at this"
    if (out / row["job"]).is_dir():
        name = f'<a href="{quote(os.fsencode(row["job"]))}/">{name}</a>'
    listed = f"<ul>{''.join(f'<li>{text}</li>' for text in remarks)}</ul>" if remarks else ""
    numbers = (
        str(row.get("frames", "")),
        ", ".join(map(str, row.get("objects", ()))),
        f"{row['fps']:.1f}" if "fps" in row else "",
    )
    cells = "".join(f'<td class="number">{cell}</td>' for cell in numbers)
    picture = _picture(out, row["job"]) if pictured else ""
    return (
        f'<tr class="{kind}"><td class="picture">{picture or "<span class=none>-</span>"}</td>'
        f'<td><div class="name">{name}</div><div class="status">{status}</div>{listed}</td>'
        f"{cells}</tr>\n"
    )


def _picture(out: Path, job: str) -> str:
    with suppress(OSError):
        data = base64.b64encode((out / PICTURES / f"{job}.jpg").read_bytes()).decode("ascii")
        return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(job)}" loading="lazy">'
    return ""
