"""Help and completion: their output, their imports, and their behavior with a closed pipe."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser_lightning import config_files
from ser_lightning.build import build
from ser_lightning.cli import hydra_help
from ser_lightning.cli.line import complete_override

FILES = {
    "ser-predict": "ser_lightning.cli.predict:main",
    "ser-features": "ser_lightning.cli.features:main",
    "ser-evaluate": "ser_lightning.cli.evaluate:main",
    "ser-report": "ser_lightning.cli.report:main",
    "ser-import": "ser_lightning.cli.import_weights:main",
    "ser-export": "ser_lightning.cli.export:main",
    "ser-serve": "ser_lightning.cli.serve:main",
    "ser-explain": "ser_lightning.cli.explain:main",
}
HYDRA = {f"ser-{name}": f"ser_lightning.cli.start:{name}" for name in ("train", "prepare", "audit")}
ALL = FILES | HYDRA
HEAVY = {
    *("torch", "pytorch_lightning", "lightning", "librosa", "scipy", "sklearn", "matplotlib", "numpy"),
    *("hydra", "omegaconf", "statsmodels", "soundfile"),
}


def program(command: str, after: str = "") -> str:
    """Python code that runs a command as its console script does."""
    module, function = ALL[command].split(":")
    run = f"import sys; sys.argv[0] = {command!r}; from {module} import {function} as main"
    return f"{run}\ntry:\n    main()\nfinally:\n    {after or 'pass'}"


def run(command: str, *words: str, after: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program(command, after), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_tested_commands_are_console_scripts():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for command, target in ALL.items():
        assert f'{command} = "{target}"' in text


def loaded(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert "ser_lightning.config_files" in done.stderr.split(), done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("words", [["-h"], ["--show-completion", "bash"]])
def test_help_imports_no_heavy_libraries(command, words):
    done = run(
        command, *words, after="print(*sys.modules, file=sys.stderr)", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert done.returncode == 0, done.stderr
    assert command in done.stdout
    assert not HEAVY & loaded(done)


@pytest.mark.parametrize("command", ALL)
def test_completion_imports_no_heavy_libraries(command):
    variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
    before = "" if command in HYDRA else "--set\n"
    if command == "ser-report":
        words, expected = f"{command}\n--ba", ["--baseline"]
    elif command == "ser-export":
        words, expected = f"{command}\n--tol", ["--tolerance"]
    elif command == "ser-explain":
        words, expected = f"{command}\n--blo", ["--block"]
    elif command == "ser-serve":
        words, expected = f"{command}\n--po", ["--port"]
    else:
        words, expected = f"{command}\n{before}audio\n=\nuntr", ["untrimmed", "untrimmed_22k", "untrimmed_48k"]
    environment = {variable: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count("\n"))}
    done = run(command, after="print(*sys.modules, file=sys.stderr)", **environment)
    assert done.stdout.split() == expected
    assert not HEAVY & loaded(done)


@pytest.mark.parametrize("command", ["ser-predict", "ser-train"])  # one of Typer and one of Hydra
def test_help_into_a_closed_pipe_prints_no_error(command):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-c", program(command), "--help"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (1, 141)


@pytest.mark.parametrize("command", ["ser-predict", "ser-train"])
def test_help_onto_a_full_disk_gives_a_one_line_error(command):
    words = [sys.executable, "-c", program(command), "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{command}: standard output cannot")
    assert "No space left on device" in line


def test_hydra_output_into_a_closed_pipe_prints_no_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-c", program("ser-prepare"), "--cfg", "job"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.parametrize("name", ["train", "prepare", "audit"])
def test_hydra_command_help_lists_groups_options_and_values(name):
    text = hydra_help.help_text(name)
    for group in config_files.groups():
        assert f"\n  {group} " in text
        for option in config_files.options(group):
            assert option in text
    for key in config_files.primary_values(name):
        assert f"\n  {key}:" in text
    assert "optim        adam* adamw sgd" in text
    assert "corpus=pooled 'corpus/parts=[" in text
    assert f"ser-{name} --install-completion" in text
    assert "$" not in text.replace("${", "")
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("name", ["train", "prepare", "audit"])
def test_help_fits_a_screen_and_explains_keys(name):
    lines = hydra_help.first_screen(name).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 120
    assert any(
        line.startswith("  corpus.root: ${oc.env:RAVDESS_ROOT,null}  # folder of the recordings") for line in lines
    )
    assert set(hydra_help.FIRST[name]) <= {line.strip().partition(":")[0] for line in lines}
    full = hydra_help.help_text(name)
    assert "\n  optim.lr: 0.001  # learning rate\n" in full
    assert "\n  trainer.accelerator: auto  # a GPU if there is one; cpu or gpu\n" in full


def test_topics_of_the_help():
    text = hydra_help.group_text("dropout")
    assert "dropout=p50\nDropout with probability 0.5.\n  dropout.p: 0.5  # probability" in text
    assert run("ser-train", "--help", "dropout").stdout.strip() == text
    assert run("ser-train", "-h", "all").stdout.strip() == hydra_help.help_text("train")
    done = run("ser-audit", "--help", "splt")
    assert done.returncode == 1
    assert done.stderr.startswith("ser-audit: --help splt: no such topic; give all or a group: audio, ")


def test_help_of_ser_predict_fits_a_screen():
    first, full = run("ser-predict", "--help").stdout, run("ser-predict", "--help", "all").stdout
    assert len(first.splitlines()) <= 40
    assert "--reject SHARE" in first
    assert "--pause SECONDS" not in first
    assert "--pause SECONDS" in full
    assert "Ends with 3" in full


def test_other_arguments_are_passed_to_hydra(tmp_path):
    done = run("ser-prepare", "seed=3", "--cfg", "job")
    assert done.returncode == 0
    assert "\nseed: 3\n" in done.stdout
    done = run("ser-prepare", "--hydra-help")
    assert "--config-dir" in done.stdout


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        ("corpus=sy", [], ["corpus=synthetic", "corpus=synthetic_small"]),
        ("corpus=emodb,emov", [], ["corpus=emodb,emovo"]),
        ("corpus=[emodb,emov", [], ["corpus=[emodb,emovo"]),
        ("opt", [], ["optim.", "optim="]),
        ("optim.l", [], ["optim.lr=0.001"]),
        ("+optim.l", [], ["+optim.lr=0.001"]),
        ("corpus.spe", [], []),
        ("corpus.spe", ["corpus=synthetic"], ["corpus.speakers=8"]),
        ("monit", [], ["monitor=val/uar"]),
        ("nothing", [], []),
    ],
)
def test_overrides_are_completed(word, given, expected):
    assert complete_override(word, given, "train") == expected


def test_completion_offers_all_options_of_a_group():
    assert complete_override("scaler", [], "train") == []
    assert complete_override("features=", [], "train") == [
        f"features={name}" for name in config_files.options("features")
    ]
    names = complete_override("", [], "train")
    assert {"corpus=", "corpus.", "seed=", "experiment="} <= set(names)


def test_completion_keys_match_the_composed_config():
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from ser_lightning.cli.settings import _names

    with initialize_config_dir(str(config_files.config_folder()), version_base="1.3"):
        config = compose("train")
        names = _names(config)
    found = config_files.keys("train")
    assert found.keys() <= names.keys()
    below = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
    assert found.keys() == below - {*config_files.groups()}  # a group without values
    assert (
        build("audio", OmegaConf.to_container(config.audio, resolve=True)).sampling_rate == found["audio.sampling_rate"]
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ser-train corpus=sy", ["synthetic", "synthetic_small"]),
        ("ser-train seed=1 corpus=", list(config_files.options("corpus"))),
        ("ser-train optim.l", ["optim.lr=0.001"]),
        ("ser-train --mul", ["--multirun"]),
        ("ser-predict x.wav --mo", ["--model"]),
        ("ser-predict x.wav --set audio=untrimmed_", ["untrimmed_22k", "untrimmed_48k"]),
        ("ser-evaluate run --corpus emov", ["emovo"]),
    ],
)
def test_bash_completion(tmp_path, line, expected):
    """Run the script printed by ``--show-completion`` on words that are split as bash splits them."""
    command = line.split()[0]
    script = run(command, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    runner = tmp_path / command
    (tmp_path / "program.py").write_text(program(command))
    runner.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/program.py" "$@"\n')
    runner.chmod(0o755)
    words = [part for word in line.split(" ")[1:] for part in _parts(word)]
    quoted = " ".join(f"'{word}'" for word in [command, *words])
    code = (
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words)}\n"
        f"_{command.replace('-', '_')}_completion {command}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == expected, done.stderr


def _parts(word: str) -> list[str]:
    """Split a word as bash does: ``=`` is a separate word."""
    before, equals, after = word.partition("=")
    return [part for part in (before, equals, after) if part] or [""]


def test_install_completion_writes_bash_files(tmp_path):
    done = run(
        "ser-train",
        "--install-completion",
        "bash",
        HOME=str(tmp_path),
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert done.returncode == 0, done.stderr
    assert "ser-train.sh" in (tmp_path / ".bashrc").read_text()
    assert "_SER_TRAIN_COMPLETE" in (tmp_path / ".bash_completions" / "ser-train.sh").read_text()
