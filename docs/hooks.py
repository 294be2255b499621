"""MkDocs hooks: pages of the site that are made of files outside ``docs/``, and the commands.

``reference/commands.md`` is written from the Typer app when the site is built, so it cannot
differ from ``--help``.
"""

import re
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from pcvos_cli.app import app

_ROOT = Path(__file__).parents[1]
_COPIED = {
    "model-card.md": "weights/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_MAIN_PANEL = "Options"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file in ``docs/``."""
    for page, source in _COPIED.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=re.sub(r"\]\((\.\./)*docs/", "](", text)))
    files.append(File.generated(config, "reference/commands.md", content=command_pages()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links to files outside ``docs/``, which GitHub follows, to their pages."""
    up = "../" * page.file.src_uri.count("/")
    for target, source in _COPIED.items():
        markdown = re.sub(rf"\]\((\.\./)*{re.escape(source)}", f"]({up}{target}", markdown)
    return markdown


def command_pages() -> str:
    """Return the Markdown of all commands and their options."""
    group = typer.main.get_command(app)
    context = group.make_context("pcvos", [], resilient_parsing=True)
    return "\n".join(["# Commands", "", *_described(group, context, level=1)])


def _described(command: Any, context: Any, *, level: int) -> list[str]:
    lines: list[str] = []
    if level > 1:
        lines += [f"{'#' * level} {context.command_path}", ""]
    lines += [command.help or "", ""]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines += ["```console", f"$ {usage}", "```", ""]
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            panel = parameter.rich_help_panel or _MAIN_PANEL
            panels.setdefault(panel, []).append(record)
    for panel, records in panels.items():
        lines += [f"| {panel} | |", "| --- | --- |"]
        lines += [f"| {_code(name)} | {_cell(text)} |" for name, text in records]
        lines.append("")
    if command.epilog:
        lines += [command.epilog, ""]
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            inner = child.make_context(name, [], parent=context, resilient_parsing=True)
            lines += _described(child, inner, level=level + 1)
    return lines


def _code(name: str) -> str:
    """Return an option's names as code that may stand, and break, in a table."""
    breakable = re.sub("(&#124;|,)", r"\1<wbr>", _cell(name))
    return f"<code>{breakable}</code>"


def _cell(text: str) -> str:
    """Return text that may stand in a table: no bars, tags or line ends."""
    escaped = " ".join(text.split()).replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("|", "&#124;").replace("[", "&#91;").replace("*", "&#42;")
