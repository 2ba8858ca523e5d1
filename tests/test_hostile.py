"""Malicious input files with payloads that would create a file when executed."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ser_lightning.build import build
from ser_lightning.corpora.synthetic import MANIFEST
from ser_lightning.errors import InputError
from tests.configs import composed
from tests.zoo import call

CONFIG = "ser_lightning"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """Path of the file that a payload would create; fail if it exists after the test."""
    path = tmp_path / "mark"
    yield path
    assert not path.exists()


class Payload:
    """Object that creates the file ``mark`` when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def spoil(trained: Path, path: Path, change: Callable[[dict], object]) -> Path:
    """Write a copy of a run's best checkpoint with a changed config."""
    raw = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    change(raw[CONFIG]["config"])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(raw, path)
    return path


@pytest.fixture
def run_with(trained: Path, tmp_path: Path) -> Callable[[Callable[[dict], object]], Path]:
    """Copy a run and change the config in its checkpoints, result.json and .hydra."""

    def make(change: Callable[[dict], object]) -> Path:
        folder = tmp_path / "run"
        shutil.copytree(trained, folder)
        for which in ("best", "last"):
            spoil(trained, folder / "checkpoints" / f"{which}.ckpt", change)
        result = json.loads((folder / "result.json").read_text())
        change(result["config"])  # written as JSON, so changes must not add tensors
        (folder / "result.json").write_text(json.dumps(result))
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(result["config"]))
        return folder

    return make


def test_payload_is_executed_by_pickle(tmp_path):
    """Without a working payload, the other tests would pass trivially."""
    path = tmp_path / "mark of its own"
    pickle.loads(pickle.dumps(Payload(f"'{path}'")))  # noqa: S301 - the payload must run once
    assert path.exists()


@pytest.mark.parametrize("name", ["state_dict", CONFIG, "optimizer_states"])
@pytest.mark.parametrize("form", ["torch", "pickle", "legacy"])
def test_malicious_checkpoint_is_refused_by_every_command(refused, trained, synthetic_root, tmp_path, mark, name, form):
    clip = next(synthetic_root.rglob("*.flac"))
    raw = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    raw[name] = {"x": Payload(mark)}
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "checkpoints" / "best.ckpt"
    if form == "pickle":
        path.write_bytes(pickle.dumps(raw[name]))
    else:
        torch.save(raw, path, _use_new_zipfile_serialization=form == "torch")
    for words in (
        ("predict", str(clip), "--model", str(path), "--output", f"{tmp_path}/p.csv"),
        ("evaluate", str(folder)),
        ("import_weights", str(path), "--output", f"{tmp_path}/o.ckpt"),
    ):
        line = refused(*words)
        assert str(path) in line
    assert not (tmp_path / "o.ckpt").exists()


CONFIGS: dict[str, tuple[Callable[[dict, Path], object], str]] = {
    "a part": (
        lambda c, m: c.update(model={"_target_": "os.system", "command": f"touch {m}"}),
        "model._target_ is 'os.s",
    ),
    "a part, renamed": (
        lambda c, m: c["model"].update(_target_="ser_lightning.build.importlib.os.system", _args_=[f"touch {m}"]),
        "model._target_ is 'ser_lightning.build",
    ),
    "another's class": (
        lambda c, m: c["audio"].update(_target_="logging.FileHandler", filename=str(m)),
        "audio._target_ is 'logging.FileHandler'",
    ),
    "a class of another part": (
        lambda c, m: c["features"].update(_target_="ser_lightning.corpora.synthetic.Synthetic", root=str(m)),
        "features._target_ is 'ser_lightning.corpora",
    ),
    "in a part": (
        lambda c, m: c["model"].update(hidden={"_target_": "os.system", "command": f"touch {m}"}, _recursive_=True),
        "model.hidden is",
    ),
    "callbacks of Hydra": (
        lambda c, m: c.update(hydra={"callbacks": {"x": {"_target_": "os.system", "command": f"touch {m}"}}}),
        "unknown part 'hydra'",
    ),
    "logging of Hydra to a file": (
        lambda c, m: c.update(
            hydra={
                "job_logging": {
                    "handlers": {"x": {"class": "logging.FileHandler", "filename": str(m)}},
                    "root": {"handlers": ["x"]},
                }
            }
        ),
        "unknown part 'hydra'",
    ),
    "logging of Hydra to a command": (
        lambda c, m: c.update(
            hydra={"job_logging": {"handlers": {"x": {"class": "subprocess.Popen", "args": ["touch", str(m)]}}}}
        ),
        "unknown part 'hydra'",
    ),
    "a folder of Hydra": (lambda c, m: c.update(hydra={"run": {"dir": str(m)}}), "unknown part 'hydra'"),
    "defaults": (
        lambda c, m: c.update(defaults=[{"/experiment": "paper"}]),
        "unknown part 'defaults'",
    ),
    "the environment": (lambda c, m: c.update(name="${oc.env:HOME}"), "no interpolation"),
    "the environment, in a name": (lambda c, m: c["model"].update({"${oc.env:HOME}": 1}), "no interpolation"),
    "a tensor": (lambda c, m: c.update(seed=torch.zeros(1)), "seed in its config is a Tensor"),
    "no part": (lambda c, m: c.update(data=[1]), "data in its config is [1]; expected keys and values"),
    "no threads": (lambda c, m: c.update(threads="many"), "threads is 'many'"),
    "lacking": (lambda c, m: c.pop("audio"), "audio is missing"),
}


@pytest.mark.parametrize(
    ("by", "name"),
    [("predict", name) for name in CONFIGS] + [("evaluate", name) for name in CONFIGS if name != "a tensor"],
)
def test_malicious_config_is_refused(command, trained, synthetic_root, run_with, tmp_path, mark, name, by):
    change, message = CONFIGS[name]
    if by == "predict":
        path = spoil(trained, tmp_path / "evil.ckpt", lambda config: change(config, mark))
        clip = next(synthetic_root.rglob("*.flac"))
        done = command("predict", str(clip), "--model", str(path), "--output", f"{tmp_path}/p.csv")
        assert not (tmp_path / "p.csv").exists()
    else:
        done = command("evaluate", str(run_with(lambda config: change(config, mark))))
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("ser-")]
    assert message in line
    assert "Traceback" not in done.err


def test_report_does_not_instantiate_the_config(command, run_with, mark):
    """ser-report compares the config values in result.json as plain data; ``.hydra/config.yaml`` is only for users."""
    payload = {"_target_": "os.system", "command": f"touch {mark}"}
    folder = run_with(lambda config: config.update(model=payload, callbacks={"x": payload}))
    done = command("report", str(folder))
    assert (done.code, done.err) == (0, "")


def test_checkpoint_outside_the_run_is_refused(refused, trained, tmp_path, mark):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    torch.save({"state_dict": Payload(mark)}, tmp_path / "evil.ckpt")
    result = json.loads((folder / "result.json").read_text())
    for name in ("../../evil", str(tmp_path / "evil")):
        (folder / "result.json").write_text(json.dumps(result | {"checkpoint": name}))
        line = refused("evaluate", str(folder))
        assert "expected best or last" in line


@pytest.mark.parametrize("manifest", ["{tmp}/split", "../../../../{tmp}/split", "../manifests/ravdess_released", ""])
def test_split_manifest_outside_the_package_is_refused(refused, small, tmp_path, manifest):
    (tmp_path / "split.csv").write_text("utterance,subset\na,train\n")
    words = [word for word in small if word != "split=random"]
    name = manifest.format(tmp=tmp_path)
    line = refused("prepare", *words, "split=released", f"split.manifest='{name}'", f"output_root={tmp_path}")
    assert f"split.manifest is {name!r}; expected one of" in line


def test_corpus_manifest_with_outside_paths_is_refused(trained, synthetic_root, tmp_path):
    root = tmp_path / "synthetic"
    shutil.copytree(synthetic_root, root)
    (manifest,) = root.glob(f"*/{MANIFEST}")
    digest, _, rest = manifest.read_text().partition("  ")
    corpus = build("corpus", composed("corpus=synthetic_small", f"corpus.root={root}")["corpus"])
    for path in ("/etc/passwd", "../../outside.flac", "Actor_01/../../outside.flac"):
        manifest.write_text(f"{digest}  {path}\n{rest.partition(chr(10))[2]}")
        with pytest.raises(InputError, match="does not list the clips of the design"):
            corpus.scan()


def test_symlink_out_of_the_corpus_is_not_read(command, succeed, trained, synthetic_root, tmp_path):
    root, outside = tmp_path / "corpus", tmp_path / "outside.flac"
    root.mkdir()
    clips = sorted(synthetic_root.rglob("*-01.flac"))
    for clip in clips:
        shutil.copy(clip, root)
    outside.write_bytes((root / clips[0].name).read_bytes())
    (root / clips[0].name).unlink()
    (root / clips[0].name).symlink_to(outside)
    words = ["corpus=ravdess", f"corpus.root={root}", "split=random", "augment=none", f"output_root={tmp_path}/out"]
    done = command("prepare", *words)
    assert done.code == 1
    assert f"{clips[0].name}: a link out of the folder: to {outside}" in done.err
    assert "refused: " in done.out
    done = succeed("prepare", *words, "corpus.on_problem=skip")
    assert f"ravdess: {len(clips) - 1} utterances" in done.out


@pytest.mark.slow
def test_oversized_checkpoints_are_refused_with_little_memory(trained, synthetic_root, tmp_path):
    """The checkpoints are a zip bomb of 256 MiB and one whose config describes a model of terabytes."""
    clip = next(synthetic_root.rglob("*.flac"))
    good, bad = trained / "checkpoints" / "best.ckpt", tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member) + bytes(2**28 * member.filename.endswith("data.pkl")))
    huge = torch.load(good, weights_only=True)
    huge[CONFIG]["features"] = 10**10
    torch.save(huge, tmp_path / "huge.ckpt")
    for path, message in ((bad, "unpacks to"), (tmp_path / "huge.ckpt", "ser-predict: ")):
        words = [str(clip), "--model", str(path), "--output", f"{tmp_path}/p.csv"]
        done = call("ser-predict", *words, cwd=tmp_path)
        assert done.code == 1
        assert message in done.err
        assert "Traceback" not in done.err
        assert done.peak < 2**30
