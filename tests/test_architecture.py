"""Import rules between the parts of the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ser_lightning"
LEAVES = {
    "errors",
    "atomic",
    "history",
    "labels",
    "interrupts",
    "metrics",
    "memory",
    "kernels",
    "config_files",
    "config_comments",
    "own_code",
    "audio_endings",
    "process",
    "progress",
    "file_digest",
    "random_state",
    "waveform",
}
EVALUATION = {"callbacks", "leakage", "run_folder"}
TRAINING = {
    "assemble",
    "build",
    "callbacks",
    "data",
    "evaluate",
    "evaluation",
    "leakage",
    "results",
    "refit",
    "run_folder",
    "trainer",
    "trainer_options",
}
# Parts of the package that each part may import, besides itself and the leaves.
ALLOWED = {
    "audio": set(),
    "augment": set(),
    "features": set(),
    "models": {"features"},
    "baselines": {"calibration"},
    "calibration": set(),
    "recording_conditions": set(),
    "corpora": set(),
    "splits": {"corpora"},
    "data": {"corpora", "splits", "audio", "augment", "features", "recording_conditions"},
    "task": {
        "fine_tuning",
        "models",
        "epoch_metrics",
        "build",
        "checkpoint",
        "data",
        "evaluation",
        "losses",
        "scheduler",
    },
    "fine_tuning": {"build", "checkpoint"},
    "api": {"build", "classifier", "corpora"},
    "classifier": {"build", "calibration", "checkpoint", "models", "predict"},
    "trainer": {"build", "callbacks"},
    "trainer_options": {"build", "data", "results", "task"},
    "assemble": {"build", "corpora", "data", "evaluation", "losses", "splits"},
    "leakage": {"corpora", "data", "splits"},
    "label_errors": {"assemble", "corpora", "splits"},
    "run_folder": {"callbacks", "checkpoint", "data", "results", "splits"},
    "run_card": {"corpora", "report"},
    "run_calibration": {"calibration", "evaluation"},
    "evaluate": {
        *EVALUATION,
        "run_calibration",
        "run_card",
        "refit",
        "checkpoint",
        "data",
        "evaluation",
        "report",
        "results",
        "splits",
        "task",
    },
    "fit": {*TRAINING, "result_log", "baselines", "checkpoint", "metrics", "splits"},
    "distillation": {"assemble", "build", "checkpoint", "corpora", "data", "evaluation", "results", "splits"},
    "result_log": {"build"},
    "train": {*TRAINING, "distillation", "fine_tuning", "fit", "result_log", "task"},
    "stacked": {
        *(*TRAINING, "augment", "checkpoint", "distillation", "epoch_metrics", "fine_tuning", "losses", "models"),
        *("result_log", "splits", "task", "train"),
    },
    "refit": {"assemble", "build", "data", "results", "run_folder", "splits", "trainer_options"},
    "reevaluate": {"assemble", "build", "checkpoint", "data", "evaluation", "results", "splits"},
    "robustness": {"audio", "augment", "corpora"},
    "measure_robustness": {
        *("assemble", "audio", "build", "checkpoint", "corpora", "data", "evaluation", "report", "results"),
        *("robustness", "run_card"),
    },
    "cross_corpus": {"assemble", "build", "checkpoint", "data", "evaluation", "reevaluate", "splits"},
    "predict": {
        "calibration",
        "recording_conditions",
        "audio",
        "build",
        "checkpoint",
        "data",
        "features",
        "models",
        "output",
        "output_checks",
    },
    "serve": {"audio", "predict"},
    "listening": {"audio", "build", "corpora", "predict", "report"},
    "explain": {
        *("audio", "baselines", "calibration", "corpora", "data", "evaluation", "features", "models", "predict"),
        *("reevaluate", "report"),
    },
    "export": {
        "calibration",
        "recording_conditions",
        "audio",
        "baselines",
        "build",
        "checkpoint",
        "features",
        "models",
        "predict",
    },
    "released_weights": {"build", "checkpoint"},
    "scheduler": {"build"},
    "epoch_metrics": set(),
    "losses": set(),
    "evaluation": {"data", "corpora", "models", "splits"},
    "report": {"results"},
    "paper": {"corpora", "report"},
    "data_card": {"audio", "corpora", "data", "recording_conditions", "report", "splits"},
    "build": set(),
    "output": set(),
    "output_checks": {"output"},
    "results": set(),
    "checkpoint": {"build", "baselines", "calibration", "models", "recording_conditions"},
    "callbacks": {"data", "evaluation", "checkpoint", "task"},
    "cli": None,  # everything
}
THIRD_PARTY_FORBIDDEN = {
    "calibration": {"torch", "pytorch_lightning", "hydra", "sklearn", "pandas"},
    "recording_conditions": {"torch", "pytorch_lightning", "hydra", "pandas", "librosa"},
    "report": {"torch", "pytorch_lightning", "torchmetrics", "hydra"},
    "metrics": {"torch", "pytorch_lightning"},
    "label_errors": {"torch", "pytorch_lightning", "hydra", "pandas"},
    "data_card": {"torch", "pytorch_lightning", "hydra"},
    "corpora": {"torch", "pytorch_lightning", "hydra"},
    "splits": {"torch", "pytorch_lightning", "hydra"},
    "audio": {"torch", "pytorch_lightning", "hydra"},
    "augment": {"pytorch_lightning", "hydra"},
    "features": {"torch", "pytorch_lightning", "hydra"},
    "robustness": {"torch", "pytorch_lightning", "hydra"},
    "measure_robustness": {"hydra", "rich"},
    "kernels": {"torch", "pytorch_lightning", "hydra", "scipy"},
    "models": {"pytorch_lightning", "hydra", "sklearn"},
    "baselines": {"pytorch_lightning", "hydra"},
    "data": {"hydra"},
    "task": {"hydra"},
    "losses": {"pytorch_lightning", "hydra"},
    "callbacks": {"hydra"},
    "evaluate": {"hydra"},
    "fit": {"hydra"},
    "train": {"hydra"},
    "refit": {"hydra"},
    "reevaluate": {"hydra", "rich"},
    "cross_corpus": {"hydra", "rich"},
    "predict": {"hydra", "rich", "pytorch_lightning"},
    "export": {"hydra", "pytorch_lightning", "rich"},
    "released_weights": {"hydra", "pytorch_lightning"},
    "explain": {"hydra", "rich"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {node.module} if node.module != "ser_lightning" else {f"ser_lightning.{a.name}" for a in node.names}
            )
    return found


def test_parts_import_only_allowed_modules():
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 30
    seen = set()
    for path in files:
        part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        seen.add(part)
        names = imports(path)
        ours = {name.split(".")[1] for name in names if name.startswith("ser_lightning.")} - LEAVES - {part}
        theirs = {name.split(".")[0] for name in names}
        if part in LEAVES:
            assert not ours, f"{path} is a leaf and imports {ours}"
        elif ALLOWED[part] is not None:
            assert ours <= ALLOWED[part], f"{path} imports {ours - ALLOWED[part]}"
        forbidden = THIRD_PARTY_FORBIDDEN.get(part, set())
        if path.parent.name == "encoders":  # networks, imported only when they are used
            forbidden = forbidden - {"torch"}
        assert not theirs & forbidden, path
    assert seen == {*ALLOWED, *LEAVES}


def test_only_build_uses_instantiate():
    users = [path.name for path in SOURCE.rglob("*.py") if "instantiate" in path.read_text()]
    assert users == ["build.py"]


def test_importing_augmentations_does_not_import_torch():
    modules = [f"ser_lightning.augment.{path.stem}" for path in (SOURCE / "augment").glob("*.py")]
    assert len(modules) > 10
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "torchaudio", "librosa"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("prepare", {"torch", "pytorch_lightning", "librosa", "scipy.signal"}),
        ("audit", {"torch", "pytorch_lightning"}),
        ("sweep", {"torch", "pytorch_lightning"}),  # Hydra's callbacks import it in every command
        ("train", {"torch", "pytorch_lightning"}),  # a sweep only starts the processes that import them
        ("job", {"torch", "pytorch_lightning"}),  # every worker of a sweep imports it
    ],
)
def test_commands_do_not_import_slow_unused_libraries(command, spared):
    code = f"import sys, ser_lightning.cli.{command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"ser_lightning.cli.{command}" in done.stdout.split()
    assert not spared & set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("features", {"torch", "pytorch_lightning", "librosa", "scipy.signal"}),
        ("predict", {"pytorch_lightning", "librosa", "scipy.signal"}),
        ("report", {"torch", "pytorch_lightning", "librosa"}),
    ],
)
def test_functions_of_commands_do_not_import_slow_unused_libraries(command, spared):
    """These commands import most modules in their function, after the command line was parsed."""
    modules = [name for name in imports(SOURCE / "cli" / f"{command}.py") if name.startswith("ser_lightning.")]
    assert len(modules) > 4
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not spared & set(done.stdout.split())
