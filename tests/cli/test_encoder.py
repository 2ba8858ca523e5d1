"""Runs on the hidden states of a pretrained encoder: what its result, its report and the leak audit state."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

import transformers
from tests.features.test_huggingface import SMALL


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """Return the folder of a tiny random encoder."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    transformers.HubertModel(transformers.HubertConfig(**SMALL)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def words(small: list[str], root: Path, folder: Path) -> list[str]:
    """Return the overrides of a quick run on the states of an encoder."""
    given = [word for word in small if not word.startswith("trainer.max_epochs")]
    return ["experiment=encoder", *given, f"output_root={root}", "features=huggingface", f"features.encoder={folder}"]


@pytest.mark.slow
def test_result_report_and_audit_state_the_encoder(command, succeed, small, tmp_path, encoder):
    succeed("train", *words(small, tmp_path, encoder), "augment=speed")
    folder = tmp_path / "encoder" / "dropout-none" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    found = result["encoder"]
    assert result["counts"]["train_with_copies"] == 3 * result["counts"]["train"]
    assert found["name"] == str(encoder)
    assert found["sha256"] == result["config"]["features"]["sha256"]
    assert found["labels_of"] is None
    (finding,) = [each for each in result["audit"]["findings"] if each["name"] == "labels seen by the encoder"]
    assert (finding["severity"], finding["found"]) == ("unchecked", True)
    assert finding["sentence"] in result["audit"]["summary"]

    assert command("report", str(tmp_path / "encoder")).code == 0
    (line,) = [x for x in (tmp_path / "encoder" / "report.md").read_text().splitlines() if x.startswith("- encoder: ")]
    assert found["sha256"][:12] in line
    assert found["trained_on"] in line


def test_checkpoint_needs_the_encoder_of_its_run(command, small, synthetic_root, tmp_path, encoder):
    copied = tmp_path / "copied"
    shutil.copytree(encoder, copied)
    assert command("train", *words(small, tmp_path, copied)).code == 0
    model = tmp_path / "encoder" / "dropout-none" / "seed-0" / "checkpoints" / "best.ckpt"
    recording = sorted(synthetic_root.rglob("*.flac"))[0]
    assert command("predict", str(recording), "--model", str(model)).code == 0
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    refused = command("predict", str(recording), "--model", str(model))
    assert refused.code == 1
    assert "features.sha256" in refused.err


@pytest.mark.parametrize(("corpus", "leak"), [("emodb", True), ("emovo", False)])
def test_audit_command_finds_labels_that_the_encoder_has_seen(command, synthetic_root, tmp_path, encoder, corpus, leak):
    named = tmp_path / "hubert-emodb"
    named.symlink_to(encoder)
    recordings = sorted(synthetic_root.rglob("*.flac"))[:12]
    rows = [f"{path},{('calm', 'angry')[n % 2]},{n % 3}" for n, path in enumerate(recordings)]
    (tmp_path / "table.csv").write_text("\n".join(["path,emotion,speaker", *rows]) + "\n")
    done = command(
        *("audit", "corpus=table", f"corpus.path={tmp_path / 'table.csv'}", f"corpus.name={corpus}", "split=random"),
        *("features=huggingface", f"features.encoder={named}", f"output={tmp_path / 'audit.json'}"),
    )
    assert (tmp_path / "audit.json").exists(), done.err
    content = json.loads((tmp_path / "audit.json").read_text())
    (finding,) = [each for each in content["findings"] if each["name"] == "labels seen by the encoder"]
    assert (finding["severity"], finding["found"]) == ("leak", leak)
    assert "hubert-emodb" in finding["sentence"]
    assert (done.code == 4) is leak or content["leak"]
