"""Classes of the user's packages: allowed for every part if trusted, and never because a file says so."""

import sys

import pytest
import torch

from ser_lightning.build import build
from ser_lightning.checkpoint import build_model, contents, read_checkpoint, rebuild_model
from ser_lightning.errors import InputError
from ser_lightning.losses import EmotionLoss
from ser_lightning.own_code import check_trust, package_digests, source_digests

NETWORK = """
from subprocess import Popen

from torch import nn


class Mean(nn.Module):
    def __init__(self, *, features: int, classes: int, standardize: bool, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError("width is too small")
        self.layers = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, features, lengths):
        return self.layers(features.sum(1) / lengths[:, None])
"""
TARGET = "mypackage.network.Mean"
ARGUMENTS = {"features": 3, "classes": 2, "standardize": False}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Folder of a package ``mypackage`` in the current folder."""
    folder = tmp_path / "mypackage"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "network.py").write_text(NETWORK)
    (folder / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]


def test_trusted_class_is_built_and_its_values_are_checked():
    model = build("model", {"_target_": TARGET, "width": 4}, trust=["mypackage"], **ARGUMENTS)
    assert model(torch.ones(2, 5, 3), torch.tensor([5, 3])).shape == (2, 2)
    for values, message in (
        ({}, "model.width is missing"),
        ({"width": "x"}, "model.width is 'x'"),
        ({"width": 4, "depth": 1}, "model.depth is unknown to Mean"),
        ({"width": 0}, "model: width is too small"),
    ):
        with pytest.raises(InputError, match=message):
            build("model", {"_target_": TARGET} | values, trust=["mypackage"], **ARGUMENTS)


@pytest.mark.parametrize(
    ("target", "trust", "message"),
    [
        (TARGET, [], "trust="),
        (TARGET, ["other"], "trust names 'other'"),
        (TARGET, ["mypackage.network"], "trust names 'mypackage.network'"),
        (TARGET, "mypackage", "trust is 'mypackage'; expected a list"),
        ("mypackage.network.Popen", ["mypackage"], "no class of"),
        ("mypackage.network.Median", ["mypackage"], "has no Median"),
        ("mypackage.broken.Mean", ["mypackage"], "ZeroDivisionError"),
        ("mypackages.network.Mean", ["mypackage"], "only classes of"),
        ("subprocess.Popen", ["mypackage"], "only classes of"),
    ],
)
def test_other_classes_are_refused(target, trust, message):
    with pytest.raises(InputError, match=message):
        build("model", {"_target_": target, "width": 4}, trust=trust, **ARGUMENTS)


def test_installed_packages_come_before_the_current_folder(tmp_path):
    (tmp_path / "json.py").write_text("raise RuntimeError\n")
    check_trust(["mypackage"])
    assert sys.path[-1] == str(tmp_path)


def write_checkpoint(path, *, trust) -> None:
    config = {"model": {"_target_": TARGET, "width": 4}, "features": {"standardize": False}, "trust": trust}
    model = build_model(config | {"trust": ["mypackage"]}, features=3, classes=2)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "ser_lightning": contents(config=config, emotions=("a", "b"), features=3)}, path)


def test_checkpoint_asks_for_the_trust_it_was_trained_with(tmp_path):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, trust=["mypackage"])
    with pytest.raises(InputError, match=r"best\.ckpt uses classes of mypackage.*--trust mypackage"):
        read_checkpoint(path)
    checkpoint = read_checkpoint(path, trust=["mypackage"])
    assert checkpoint.config["trust"] == ["mypackage"]
    model = rebuild_model(checkpoint, path=path)
    assert all(torch.equal(value, checkpoint.state[f"model.{name}"]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("trust", [["os"], "os", [["os"]], {"os": 1}, [1], None, 3])
def test_checkpoint_never_extends_the_list(tmp_path, trust):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, trust=trust)
    with pytest.raises(InputError, match=r"best\.ckpt"):
        read_checkpoint(path, trust=["mypackage"])


def test_checkpoint_with_an_unlisted_class_is_refused(tmp_path):
    path = tmp_path / "best.ckpt"
    write_checkpoint(path, trust=[])
    for name in [name for name in sys.modules if name.startswith("mypackage")]:
        del sys.modules[name]
    with pytest.raises(InputError, match=r"model\._target_ is 'mypackage\.network\.Mean'"):
        rebuild_model(read_checkpoint(path), path=path)
    assert "mypackage" not in sys.modules


def test_digest_changes_with_any_file_of_the_package(package):
    model = build("model", {"_target_": TARGET, "width": 4}, trust=["mypackage"], **ARGUMENTS)
    before = source_digests([model, object()])
    assert before == package_digests({"trust": ["mypackage"]})
    (package / "new.py").touch()
    after = source_digests([model])
    assert after.keys() == before.keys() == {"mypackage"}
    assert after != before
    assert source_digests([EmotionLoss(class_weights=False, label_smoothing=0.0)]) == {}
