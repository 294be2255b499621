"""The command line: commands in, exit codes out.

Errors become one to three lines on stderr and the exit code of their class; the numbers
stand in :mod:`model.errors`. Nothing here or in ``commands/`` imports torch before a
command runs.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from model.errors import as_known
from pcvos_cli import console, options
from pcvos_cli.commands.annotate import annotate
from pcvos_cli.commands.batch import batch
from pcvos_cli.commands.benchmark import benchmark
from pcvos_cli.commands.convert import convert
from pcvos_cli.commands.doctor import doctor
from pcvos_cli.commands.evaluate import evaluate
from pcvos_cli.commands.mask import mask
from pcvos_cli.commands.segment import segment
from pcvos_cli.commands.train import train
from pcvos_cli.commands.weights import (
    average_weights,
    extend_weights,
    import_weights,
    initial_weights,
    list_weights,
    verify_weights,
)
from pcvos_cli.signals import INTERRUPTED, TERMINATED, Terminated

UNEXPECTED = 1
_EXIT_CODES = (
    "Exit codes: 0 done, 1 unexpected, 2 usage, 3 input, 4 mask and video disagree, 5 weights, "
    "6 output, 7 out of memory, 130 Ctrl-C, 143 SIGTERM."
)


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that whatever it raises becomes lines on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            console.error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Terminated:
            console.error("terminated")
            raise typer.Exit(TERMINATED) from None
        except BrokenPipeError:
            raise  # The reader of our stdout left; Typer ends quietly.
        except Exception as error:
            console.trace()
            known = as_known(error)
            if known is not None:
                console.error(known.message, known.hint)
                raise typer.Exit(known.exit_code) from None
            console.error(
                f"unexpected {type(error).__name__}: {error}",
                None if console.verbosity.debug else "run it again with --debug for the traceback",
            )
            raise typer.Exit(UNEXPECTED) from None

    return run


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.result(f"pcvos {version('pcvos')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Cut objects out of video: a video and a mask of one frame in, masks of every frame out."""
    console.reset()
    console.configure(verbose=verbose, debug=debug)


def _build() -> typer.Typer:
    root = typer.Typer(
        name="pcvos",
        no_args_is_help=True,
        epilog=_EXIT_CODES,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(_root)
    root.command("segment")(reported(segment))
    root.command("batch")(reported(batch))
    root.command("mask")(reported(mask))
    root.command("annotate")(reported(annotate))
    root.command("convert")(reported(convert))
    root.command("doctor")(reported(doctor))
    root.command("evaluate")(reported(evaluate))
    root.command("benchmark")(reported(benchmark))
    root.command("train")(reported(train))
    weights = typer.Typer(
        no_args_is_help=True, help="Import, average, list and verify model weights."
    )
    weights.command("import")(reported(import_weights))
    weights.command("init")(reported(initial_weights))
    weights.command("extend")(reported(extend_weights))
    weights.command("average")(reported(average_weights))
    weights.command("list")(reported(list_weights))
    weights.command("verify")(reported(verify_weights))
    root.add_typer(weights, name="weights")
    return root


app = _build()
