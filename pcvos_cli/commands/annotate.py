"""``pcvos annotate``: a page to draw, watch and correct masks."""

from pathlib import Path
from typing import Annotated

import typer

from model.errors import ConfigError
from pcvos_cli import console, options

LOOPBACK = "127.0.0.1"


def annotate(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A video, or a folder of images.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where all is kept. Default: INPUT's name with _annotation, in this folder.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Default: any that is free.")
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Listen at another address; others can then reach the page."),
    ] = LOOPBACK,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Draw, watch and correct masks in a local page, in your browser."""
    console.configure(quiet=quiet, debug=debug)
    try:
        import uvicorn  # noqa: F401
        from starlette.applications import Starlette  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"pcvos annotate needs a package that is not installed ({error.name})",
            hint="pip install 'pcvos[annotate]'",
        ) from error
    from pcvos_cli.annotate.serve import serve

    name = source.resolve().name if source.is_dir() else source.stem
    output = output or Path(f"{name or 'video'}_annotation")

    def started(address: str) -> None:
        console.result(address)
        console.note(f"open it in a browser; all is kept in {output}; Ctrl-C ends")
        if host != LOOPBACK:
            console.warning(f"--host {host}: whoever has this address can see and change it")
        if browser:
            import webbrowser

            webbrowser.open(address)

    def failed(error: Exception) -> None:
        hint = getattr(error, "hint", None)
        console.error(getattr(error, "message", f"{type(error).__name__}: {error}"), hint)

    serve(source, output, host=host, port=port, on_start=started, on_error=failed)
