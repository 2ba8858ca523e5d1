"""Shared code of the Typer command lines: options, one-line errors, closed pipes and completion; fast to import."""

import functools
import io
import logging
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any, NoReturn

import typer

from ser_lightning import config_files
from ser_lightning.errors import FULL_ERROR, NO_SPACE, InputError, describe_os_error
from ser_lightning.output import ClosedPipeError, discard_standard_output, flush_standard_output

HELP = ("--help", "-h")
EXAMPLES = 6  # lines of the epilog on the first screen of the help
INTERRUPTED, CLOSED_PIPE = 130, 141  # exit codes as in shells: 128 plus the signal number


def complete_settings(incomplete: str) -> list[str]:
    """Return completions for the value of ``--set``: config groups with their options, and config keys."""
    return complete_override(incomplete, [], "train")


Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Sound files, and folders that are searched for them.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=complete_settings,
        help="Change a value of the configuration, or choose an option of a group: --set audio.vad_mode=3,"
        " --set audio=untrimmed. May be given several times.",
        show_default=False,
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Use classes of this package of yours, installed or in the current folder. May be given several times.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def make_app(command: str, function: Callable[..., Any], *, epilog: str) -> typer.Typer:
    """Create the Typer app of a command.

    Args:
        command: name of the command
        function: receives the options; the int that it returns is the exit code
        epilog: examples and notes, shown unchanged below the options

    """
    app = typer.Typer(add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    text = "\n\n".join(f"\b\n{paragraph}" for paragraph in epilog.strip().split("\n\n"))

    @app.command(help=function.__doc__, epilog=text, context_settings={"help_option_names": ["-h", "--help"]})
    @functools.wraps(function)
    def guarded(*args: Any, **options: Any) -> None:
        raise typer.Exit(guard(command, functools.partial(function, *args, **options)))

    return app


def run_app(
    app: typer.Typer, command: str, arguments: Sequence[str] | None = None, *, first: Sequence[str] = ()
) -> None:
    """Run a command line and exit.

    Args:
        app: the app made by :func:`make_app`
        command: name of the command, which also names the shell's completion variable
        arguments: arguments without the program name; ``None`` for those of the process
        first: names of the options that ``--help`` explains, if all of them do not fit a screen; ``--help all``
            explains the others too

    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with quiet_pipe(command):
        variable = f"_{command.replace('-', '_').upper()}_COMPLETE"
        if os.environ.get(variable) == "complete_bash":
            complete_bash(lambda: app(args=[], prog_name=command))
        if first and len(words) == 1 and words[0] in HELP:
            _first_screen(app, command, first)
        app(args=words[:1] if words[:1] and words[0] in HELP and words[1:] == ["all"] else words, prog_name=command)


def _first_screen(app: typer.Typer, command: str, first: Sequence[str]) -> NoReturn:
    """Print the help with the first options and examples only, and exit."""
    screen = typer.main.get_command(app)
    examples = (screen.epilog or "").split("\n\n")[0].splitlines()[:EXAMPLES]
    screen.epilog = "\n".join([*examples, "", "\b", f"{command} --help all explains every option."])
    for option in screen.params:
        if option.param_type_name == "option":
            option.hidden = option.name not in first  # type: ignore[attr-defined]
    screen(args=["--help"], prog_name=command)
    sys.exit(0)


def guard(command: str, function: Callable[[], int | None]) -> int:
    """Call a function and return its exit code; on invalid input, print one line on stderr and return 1."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ser_lightning").setLevel(logging.INFO)
    try:
        code = function()
        flush_standard_output()
        return code or 0
    except KeyboardInterrupt:
        return _print_error(command, "interrupted", INTERRUPTED)
    except ClosedPipeError:
        return CLOSED_PIPE
    except BrokenPipeError:
        if not _reader_has_closed():
            raise
        return CLOSED_PIPE
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get(FULL_ERROR) == "1":
            raise
        return _print_error(command, message, 1)


def report_failures(command: str, failures: Sequence[str], *, total: int) -> int:
    """Print the recordings that were left out and return the exit code: 0 for none, 3 for some, 1 for all."""
    for failure in failures:
        print(f"{command}: left out: {failure}", file=sys.stderr)
    if not failures:
        return 0
    return 1 if len(failures) == total else 3


def _print_error(command: str, message: str, code: int) -> int:
    try:
        flush_standard_output()
    except OSError:  # the disk is full, which the message itself reports
        discard_standard_output()
    print(f"{command}: {message}", file=sys.stderr)
    return code


def _message(error: Exception) -> str | None:
    """Return an error's message in one line, or ``None`` for an unexpected error, which keeps its traceback."""
    if isinstance(error, InputError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return describe_os_error(error)
    # Compared by module name, so that Hydra and OmegaConf need not be imported.
    if type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
        return " ".join(str(error).split())
    return None


@contextmanager
def quiet_pipe(command: str) -> Iterator[None]:
    """Exit silently if the reader of standard output has closed the pipe, as with ``| head -1``.

    Args:
        command: name of the command, for the message about a full disk

    """
    try:
        try:
            yield
        except SystemExit:
            flush_standard_output()
            if _reader_has_closed():
                discard_standard_output()
            raise
        flush_standard_output()
    except BrokenPipeError:
        if not _reader_has_closed():
            raise
        discard_standard_output()
        sys.exit(CLOSED_PIPE)
    except OSError as error:  # a full disk while printing the help
        if error.errno not in NO_SPACE or error.filename is not None:
            raise
        discard_standard_output()
        print(f"{command}: standard output cannot be written: {error.strerror}; free some space", file=sys.stderr)
        sys.exit(1)


def _reader_has_closed() -> bool:
    """Return whether standard output is a pipe without a reader."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # POLLERR is reported even with an empty event mask
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


# ---------------------------------------------------------------------- completion


def complete_override(incomplete: str, given: Sequence[str], config_name: str) -> list[str]:
    """Return the completions of a word of the form ``key=value`` or ``group=option``.

    If only one name matches, it is returned together with its options or its value. Otherwise the shell would append a
    space after the only completion, which ends in ``=``.

    Args:
        incomplete: the word to complete
        given: the words before it, whose options determine the available keys
        config_name: name of the primary config

    """
    prefix = incomplete[: len(incomplete) - len(incomplete.lstrip("+~"))]
    word = incomplete[len(prefix) :]
    name, equals, value = word.partition("=")
    pairs = [override.partition("=")[::2] for override in given]
    chosen = {group: option for group, option in pairs if group in config_files.groups()}
    keys = config_files.keys(config_name, chosen)
    if equals:
        start = value[: max(value.rfind(","), value.rfind("[")) + 1]  # a sweep or a list
        assignments = [f"{name}={start}{option}" for option in config_files.options(name)]
        return [prefix + text for text in assignments or _with_value(name, keys) if text.startswith(word)]
    if "." not in word:
        sections = {key.partition(".")[0] for key in keys if "." in key}
        tops = [key for key in keys if "." not in key and key not in config_files.groups()]
        names = [f"{text}=" for text in (*config_files.groups(), *tops)] + [f"{text}." for text in sections]
    else:
        names = [f"{key}=" for key in keys]
    matching = sorted(text for text in names if text.startswith(word))
    if len(matching) == 1 and matching[0].endswith("="):
        only = matching[0][:-1]
        matching = [f"{only}={option}" for option in config_files.options(only)] or _with_value(only, keys) or matching
    return [prefix + text for text in matching]


def _with_value(key: str, keys: Mapping[str, Any]) -> list[str]:
    value = keys.get(key)
    plain = isinstance(value, bool | int | float | str) and "${" not in str(value)
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}"] if plain and value != "" else []


def complete_bash(complete: Callable[[], None]) -> None:
    """Complete for bash, which splits ``key=value`` into three words, and exit.

    Args:
        complete: prints the completions of the last word of ``COMP_WORDS``, one per line, and exits

    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD", "0"))
    words = words[: place + 1] + [""] * (place + 1 - len(words))
    joined: list[str] = []
    for word in words:
        if len(joined) > 1 and (word.startswith("=") or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    cut = joined[-1].rfind("=") + 1  # bash replaces only the part after the last "="
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            complete()
    except SystemExit:
        pass
    for line in printed.getvalue().splitlines():
        print(line[cut:])
    sys.exit(0)
