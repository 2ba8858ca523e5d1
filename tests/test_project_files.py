"""The files around the code agree with each other: versions, workflows, citation and make targets."""

import json
import re
import tomllib
from pathlib import Path

import yaml
from typer.main import get_command

import ser_lightning as ser
from ser_lightning.cli import serve
from tests import pythons

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_version_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/ser_lightning/__init__.py"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == ser.__version__
    assert f"\n## [{ser.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", section) for section in sections[1:])
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
    entries = re.findall(r"^- .*$", text, re.MULTILINE)
    assert sorted({entry for entry in entries if entries.count(entry) > 1}) == []


def test_workflows_call_make_targets_on_the_declared_pythons():
    called = set()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            called |= {words[1] for step in job["steps"] if (words := step.get("run", "").split())[:1] == ["make"]}
            if "python" in job.get("strategy", {}).get("matrix", {}):
                assert job["strategy"]["matrix"]["python"] == pythons.declared()
    assert called == {"lint", "docs", "test", "coverage", "test-slow", "dist"}
    assert called <= TARGETS


def test_ci_runs_what_the_workflows_run():
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    ran = [word for line in lines for word in line.split()[1:] if not word.startswith("-") and "=" not in word]
    assert ran == ["setup", "lint", "docs", "coverage", "test-slow"]


def test_container_file_uses_files_extras_and_options_that_exist():
    text = (ROOT / "Containerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert len(copied) >= 7
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.search(r"\[([a-z,]+)\]\"", text)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    command, *words = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1])
    assert command in project["scripts"]
    assert set(words[::2]) <= {name for option in get_command(serve.APP).params for name in option.opts}


def test_every_target_is_listed_by_make_help():
    described = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert described == TARGETS == set(phony[1].split())
