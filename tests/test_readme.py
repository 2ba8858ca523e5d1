"""The commands of the README run, in an empty folder and in their order."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines(block: str) -> list[str]:
    return [text for line in block.splitlines() if (text := line.partition("  #")[0].strip())]


def test_targets_of_the_readme_exist():
    made, _ = BLOCKS
    for line in lines(made):
        done = subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert {"demo": "ser-report outputs/demo", "test": "pytest"}[line.split()[1]] in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_readme_commands_run(synthetic_root, tmp_path):
    """Follow the README with synthetic recordings in the place of RAVDESS, which have no leak, and with one epoch."""
    _, real = BLOCKS
    activate, export, *commands = lines(real)
    assert (activate, export) == (". .venv/bin/activate", "export RAVDESS_ROOT=data/ravdess")
    assert len(commands) == 5
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    short = "corpus=synthetic_small augment=none trainer.max_epochs=1 data.batch_size=32"
    for command in commands:
        if "ser-predict" in command:
            (tmp_path / "actor").mkdir()
            shutil.copy(min(synthetic_root.rglob("*.flac")), tmp_path / "actor")
        line = command.replace("corpus=ravdess", f"{short} corpus.root={synthetic_root}").replace(
            "seed=0,1,2", "seed=0"
        )
        line = line.replace(" corpus.download=true", "").replace("data/ravdess/Actor_01", "actor")
        line = line.replace("split=speaker split.fold=0", "split=statement split.fold=0")  # it has two speakers
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    outputs = tmp_path / "outputs"
    result = json.loads((outputs / "corrected" / "first" / "result.json").read_text())
    assert result["config"]["split"]["fold"] == 0
    assert len(list((tmp_path / "timelines").rglob("*.html"))) == 1
    assert (outputs / "ablation_dropout" / "report.html").stat().st_size > 10_000
    assert len(list((outputs / "data_cards").rglob("data_card.html"))) == 1
