"""The command line: commands in, exit codes out.

Errors become one to three lines on stderr and the exit code of their class; the numbers
stand in :mod:`model.errors`. Nothing here or in ``commands/`` imports torch before a
command runs.
"""

import functools
from collections import UserDict
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from model.errors import as_known
from pcvos_cli import console, options
from pcvos_cli.signals import INTERRUPTED, TERMINATED, Terminated

COMMANDS = (
    "segment", "batch", "mask", "annotate", "convert", "doctor", "evaluate", "benchmark", "train",
    "weights",
)  # fmt: skip
"""In the order of the help; each has a module of its name in ``commands/``."""

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


class _Commands(UserDict[str, Any]):
    """The commands by name, each built when it is asked for: a run imports no other."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            self.data[name] = _command(name)
        return self.data[name]


def _command(name: str) -> Any:
    module = import_module(f"pcvos_cli.commands.{name}")
    if hasattr(module, "COMMANDS"):
        built = typer.Typer(name=name, no_args_is_help=True, help=module.HELP, add_completion=False)
        for word, command in module.COMMANDS.items():
            built.command(word)(reported(command))
    else:
        built = typer.Typer(add_completion=False)
        built.command(name)(reported(getattr(module, name)))
    return typer.main.get_command(built)


class _Root(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(dict.fromkeys(COMMANDS))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty arguments: as a path, one would be the folder that we are in."""
        if "" in args:
            before = " ".join(args[: args.index("")])
            raise typer.BadParameter(
                f"the argument after '{before}' is empty: is a variable unset?"
            )
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="pcvos",
    cls=_Root,
    no_args_is_help=True,
    epilog=_EXIT_CODES,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(_root)
