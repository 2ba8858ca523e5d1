"""Runs made before a config key was introduced remain usable."""

import json
import shutil

import pytest
import torch

from ser_lightning.checkpoint import KEY
from ser_lightning.results import LATER, science_digest


@pytest.fixture
def older(trained, tmp_path):
    """A finished run whose best checkpoint lacks the config keys introduced later."""
    run = tmp_path / "older"
    shutil.copytree(trained, run)
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    dropped = 0
    for key in LATER:
        *parents, last = key.split(".")
        node = content[KEY]["config"]
        for parent in parents:
            node = node[parent]
        dropped += node.pop(last, "absent") != "absent"
    assert dropped == len(LATER)
    torch.save(content, path)
    return run


def test_older_run_evaluates_and_predicts_as_before(command, older, trained, synthetic_root, tmp_path):
    evaluated = command("evaluate", str(older))
    assert evaluated.code == 0
    assert "equal to the last digit" in evaluated.out
    assert "changed:" not in evaluated.out
    recording = next(synthetic_root.rglob("*.flac"))
    tables = {}
    for run in (older, trained):
        words = [str(recording), "--model", f"{run}/checkpoints/best.ckpt", "--output", f"{tmp_path}/{run.name}.csv"]
        assert command("predict", *words).code == 0
        tables[run] = (tmp_path / f"{run.name}.csv").read_text()
    assert tables[older] == tables[trained]


def test_older_run_keeps_its_digest(older, trained):
    content = torch.load(older / "checkpoints" / "best.ckpt", weights_only=True)
    assert science_digest(content[KEY]["config"]) == json.loads((trained / "result.json").read_text())["digest"]
