"""Help of the Hydra commands, made from the YAML files and their comments; fast to import."""

import sys
import textwrap
from collections.abc import Sequence

from ser_lightning import config_files
from ser_lightning.config_comments import key_comments, option_comments, read_comments

ALL = "all"  # topic of the complete help
WIDTH = 100  # characters of a line
# Keys that the first screen explains.
FIRST = {
    "train": ["corpus.root", "dropout.p", "optim.lr", "data.batch_size", "trainer.max_epochs"],
    "prepare": ["corpus.root", "corpus.download", "corpus.on_problem", "data.feature_cache", "data_card"],
    "audit": ["corpus.root", "corpus.on_problem", "output"],
}
FIRST["train"] += ["seed", "name", "run_id", "output_root", "monitor", "checkpoint", "init_from"]
EXAMPLES = "== Groups"  # the line of the complete help after the examples
COMPLETION_HELP = "Completion in the shell: {command} --install-completion, or --show-completion to see the script."
HYDRA_HELP = "{command} --cfg job prints the whole configuration; {command} --hydra-help lists Hydra's own options."


def print_help(name: str, topics: Sequence[str]) -> int:
    """Print the help about the topic that follows ``--help``, and return the exit code."""
    topic = topics[0] if topics else ""
    if len(topics) > 1 or topic not in ("", ALL, *config_files.groups()):
        groups = ", ".join(config_files.groups())
        print(f"ser-{name}: --help {' '.join(topics)}: no such topic; give {ALL} or a group: {groups}", file=sys.stderr)
        return 1
    print(help_text(name) if topic == ALL else group_text(topic) if topic else first_screen(name))
    return 0


def first_screen(name: str) -> str:
    """Return the first screen of the help of a command: examples, main keys, and the groups with their defaults."""
    template = config_files.read_file(name)[config_files.HYDRA]["help"]["template"]
    keys, comments = config_files.keys(name), key_comments(name)
    lines = [_cut(f"  {key}: {_value(keys[key])}  # {comments[key]}") for key in FIRST[name] if key in keys]
    chosen = config_files.default_options(name)
    groups = [f"{group}={_value(chosen.get(group))}" for group in sorted(config_files.groups())]
    command = f"ser-{name}"
    return "\n".join(
        [
            template.partition(EXAMPLES)[0].rstrip(),
            "",
            "Main keys (change with key=value):",
            *lines,
            "Groups and their defaults (choose with group=option):",
            _wrapped(" ", groups),
            "",
            f"{command} --help all explains every group, option and key; --help corpus the options of one group.",
            f"{command} --install-completion installs completion; --cfg job prints the configuration.",
        ]
    )


def notes(name: str) -> str:
    """Return the notes at the end of the complete help of a command."""
    template = config_files.read_file(name)[config_files.HYDRA]["help"]["template"]
    return str(template.partition("$CONFIG")[2].strip())


def group_text(group: str) -> str:
    """Return the help about a config group: its options with their descriptions, and the keys of each."""
    lines = []
    for option in config_files.options(group):
        lines += [f"{group}={option}", *textwrap.wrap(read_comments(f"{group}/{option}").description, WIDTH - 2)]
        lines += [f"  {line}" for line in _key_lines(group, option)]
    return "\n".join(lines)


def _key_lines(group: str, option: str) -> list[str]:
    """Return a line for each key of an option, with its value and its comment."""
    if group == "experiment":
        return []  # its keys are those of other groups
    comments = option_comments(group, option)
    lines = []
    for key, value in config_files.flat(config_files.values_of(group, option)):
        if key.rpartition(".")[2] not in ("_target_", "_partial_"):
            comment = comments.get(key, "")
            lines.append(f"{group}.{key}: {_value(value)}" + (f"  # {comment}" if comment else ""))
    return lines


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3].rstrip()}..."


def help_text(name: str) -> str:
    """Return the complete help of a command: its template in ``conf/`` with config groups and values filled in."""
    template = config_files.read_file(name)[config_files.HYDRA]["help"]["template"]
    values = "\n".join(f"  {line}" for line in config_files.primary_text(name).splitlines())
    text = template.replace("$APP_CONFIG_GROUPS", _groups_text(name)).replace("$CONFIG", values)
    chosen = config_files.default_options(name)
    parts = [line for group in sorted(chosen) for line in _lines_of_group(group, chosen[group])]
    text = f"{text.rstrip()}\n\n== Values of the default options (change with key=value) ==\n" + "\n".join(parts)
    more = (HYDRA_HELP.format(command=f"ser-{name}"), COMPLETION_HELP.format(command=f"ser-{name}"))
    return "\n".join([text.rstrip(), "", *more])


def _lines_of_group(group: str, options: object) -> list[str]:
    names = options if isinstance(options, list) else [options]
    return [f"  {line}" for option in names if option for line in _key_lines(group, str(option))]


def _groups_text(name: str) -> str:
    default = config_files.default_options(name)
    lines = []
    for group in sorted(config_files.groups()):
        options = (f"{option}*" if option == default.get(group) else option for option in config_files.options(group))
        lines.append(_wrapped(f"  {group:<12}", list(options)))
    return "\n".join([*lines, "  (* is the default)"])


def _wrapped(start: str, words: Sequence[str], *, width: int = WIDTH) -> str:
    lines, line = [], start
    for word in words:
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = " " * len(start)
        line += f" {word}"
    return "\n".join([*lines, line])
