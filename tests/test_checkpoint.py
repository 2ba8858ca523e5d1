import os
import pickle

import pytest
import torch

from ser_lightning.checkpoint import read_checkpoint, rebuild_model
from ser_lightning.errors import InputError
from ser_lightning.released_weights import read_state


class Payload:
    """Object that creates the file ``mark`` when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("read", [read_checkpoint, read_state])
def test_malicious_pickle_is_refused_and_not_executed(tmp_path, read):
    mark, path = tmp_path / "mark", tmp_path / "evil.ckpt"
    torch.save({"state_dict": Payload(mark)}, path)
    with pytest.raises(InputError, match=r"evil\.ckpt"):
        read(path)
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(InputError, match=r"evil\.ckpt"):
        read(path)
    assert not mark.exists()


def test_non_checkpoint_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no checkpoint .*absent\.ckpt"):
        read_checkpoint(tmp_path / "absent.ckpt")
    (tmp_path / "text.ckpt").write_text("text")
    with pytest.raises(InputError, match=r"text\.ckpt is not a file of torch\.save"):
        read_checkpoint(tmp_path / "text.ckpt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other\.ckpt is not a checkpoint of ser_lightning"):
        read_checkpoint(tmp_path / "other.ckpt")


def test_checkpoints_load_with_weights_only(trained):
    for name in ("best", "last"):
        raw = torch.load(trained / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert raw["ser_lightning"]["config"]["name"] == "corrected"
        assert read_checkpoint(trained / "checkpoints" / f"{name}.ckpt").features == 162


def test_truncated_checkpoint_is_refused(trained, tmp_path):
    content = (trained / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"half\.ckpt is not a file of torch\.save"):
        read_checkpoint(tmp_path / "half.ckpt")


def test_unknown_checkpoint_format_is_refused(trained, tmp_path):
    raw = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    raw["ser_lightning"]["format"] = 99
    torch.save(raw, tmp_path / "new.ckpt")
    with pytest.raises(InputError, match="has checkpoint format 99, expected 1"):
        read_checkpoint(tmp_path / "new.ckpt")


@pytest.mark.parametrize("missing", ["config", "emotions", "features"])
def test_checkpoint_with_missing_metadata_is_refused(trained, tmp_path, missing):
    raw = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    del raw["ser_lightning"][missing]
    torch.save(raw, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=rf"x\.ckpt is damaged: KeyError\('{missing}'\)"):
        read_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("model.lstm.forward_lstm.bias_ih_l0"), "lacks lstm.forward_lstm.bias_ih_l0"),
        (lambda state: state.update({"model.extra": torch.zeros(1)}), "has unknown extra"),
        (
            lambda state: state.update({"model.classifier.7.bias": torch.zeros(9)}),
            r"classifier.7.bias \(9,\) for \(8,\)",
        ),
    ],
)
def test_mismatched_weights_are_refused(trained, spoil, message):
    checkpoint = read_checkpoint(trained / "checkpoints" / "best.ckpt")
    spoil(checkpoint.state)
    with pytest.raises(InputError, match=rf"x\.ckpt is of another model: .*{message}"):
        rebuild_model(checkpoint, path="x.ckpt")
