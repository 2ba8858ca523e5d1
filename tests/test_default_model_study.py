"""``make default-model`` on a made-up corpus."""

import json
from importlib.util import find_spec

import pytest
from studies import default_model

from ser_lightning.checkpoint import read_checkpoint


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pipecat") is None, reason="pip install --no-deps pipecat-ai==1.14.0")
def test_model_is_measured_on_held_out_speakers_and_packaged(emodb_made_up, command, tmp_path, monkeypatch):
    monkeypatch.setenv("EMODB_ROOT", str(emodb_made_up))
    folder, package = tmp_path / "model", tmp_path / "package"
    words = ["--corpora", "emodb", "--split", "speaker", "--folds", "3", "--package", str(package)]
    default_model.main(
        [str(folder), *words, "corpus.on_problem=skip", "augment=none", "model.c=[0.01,0.03]", "logger=[]"]
    )
    clips = sorted(emodb_made_up.iterdir())
    result = json.loads((folder / "result.json").read_text())
    assert result["counts"] == {"train": len(clips), "val": 0, "test": len(clips), "train_with_copies": len(clips)}
    uar = result["metrics"]["test"]["uar"]
    assert uar > 1 / 7

    model, card = package / "emodb.ckpt", (package / "MODEL_CARD.md").read_text()
    assert model.stat().st_size < default_model.LARGEST
    assert read_checkpoint(model).calibration.clips == len(clips)
    assert f"{100 * uar:.1f}" in card
    assert "\n- EmoDB: CC0" in card
    assert "Other corpora" not in card  # it was evaluated on none
    for path in (str(tmp_path), str(emodb_made_up)):
        assert path not in card
        assert path.encode() not in model.read_bytes()

    done = command("predict", str(clips[0]), "--model", str(model), "--min-speech", "0", "--json")
    assert done.code == 0, done.err
    assert set(json.loads(done.out)["probabilities"]) == set(result["emotions"])

    monkeypatch.setattr(default_model, "LARGEST", model.stat().st_size)
    with pytest.raises(ValueError, match="expected less than"):
        default_model.package(folder, package, ["emodb"])
