import pytest
import torch

from ser_lightning.build import build, build_corpus, config_folder
from ser_lightning.errors import InputError

AUGMENT = {
    **{"_target_": "ser_lightning.augment.waveform.WaveformCopies", "seed": 0, "sampling_rate": 16000},
    **{"noise_sigma": 0.01, "pitch_steps": [3, -3], "pcm16": False},
}


def test_build_instantiates_the_config():
    built = build("augment", AUGMENT)
    assert built.names == ("noise", "pitch+3", "pitch-3")
    optimizer = build("optim", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.5})
    assert optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.run", "builtins.eval", "torch.load", "", "ser_lightningx.a"]
)
def test_foreign_targets_are_refused_and_not_called(target, tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(InputError, match="augment._target_"):
        build("augment", {"_target_": target, "command": f"touch {mark}", "_args_": [f"touch {mark}"]})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sede": 1},
            r"augment\.sede is unknown to WaveformCopies; it takes seed, .*; the nearest valid name is 'seed'",
        ),
        ({"seed": "x"}, r"augment\.seed is 'x'; expected int"),
        ({"seed": True}, r"augment\.seed is True"),
        ({"pcm16": 1}, r"augment\.pcm16 is 1; expected bool"),
        ({"noise_sigma": "loud"}, r"augment\.noise_sigma is 'loud'"),
        ({"pitch_steps": "3"}, r"augment\.pitch_steps is '3'"),
        ({"pitch_steps": [None]}, r"augment\.pitch_steps is \[None\]"),
        ({"_target_": "ser_lightning.augment.waveform.Nothing"}, "cannot be imported"),
        ({"_target_": "ser_lightning.augment.nothing.Nothing"}, "cannot be imported"),
        ({"_target_": "ser_lightning.augment.waveform.WaveformCopie"}, "the nearest valid name is 'WaveformCopies'"),
    ],
)
def test_values_are_checked_against_the_signature(change, message):
    with pytest.raises(InputError, match=message):
        build("augment", AUGMENT | change)


def test_nested_targets_are_not_called(tmp_path):
    mark = tmp_path / "mark"
    payload = {"_target_": "os.system", "command": f"touch {mark}"}
    with pytest.raises(InputError, match=r"augment\.seed is"):
        build("augment", AUGMENT | {"seed": payload})
    build("optim", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": payload})
    build("optim", {"_target_": "torch.optim.Adam", "_partial_": True, "_recursive_": True, "lr": payload})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("model", "torch.nn.Identity"),
        ("model", "torch.optim.Adam"),
        ("trainer", "pytorch_lightning.trainer.trainer.os.getcwd"),
        ("trainer", "pytorch_lightning.seed_everything"),
        ("audio", "ser_lightning.audio.reader.soundfile.SoundFile"),
        ("audio", "ser_lightning.audio.reader.Path"),
        ("audio", "ser_lightning.augment.waveform.WaveformCopies"),
        ("model", "ser_lightning.corpora.synthetic.Synthetic"),
        ("loger", "pytorch_lightning.loggers.TensorBoardLogger"),
    ],
)
def test_target_must_belong_to_its_config_group(name, target):
    with pytest.raises(InputError, match=rf"{name}\._target_ is '{target}'"):
        build(name, {"_target_": target})


def test_missing_value_is_named_in_the_error():
    with pytest.raises(InputError, match=r"augment\.seed is missing; WaveformCopies needs it"):
        build("augment", {key: value for key, value in AUGMENT.items() if key != "seed"})


def test_errors_of_constructors_become_input_errors():
    optim = {"_target_": "torch.optim.Adam", "lr": 0.1, "weight_decay": -1.0}
    with pytest.raises(InputError, match="optim: Invalid weight_decay value"):
        build("optim", optim, params=[torch.nn.Parameter(torch.zeros(1))])
    audio = {"_target_": "ser_lightning.audio.audio.Audio", "sampling_rate": 16000, "downmix": "mean"}
    audio["resampler"] = "soxr"
    with pytest.raises(InputError, match=r"audio\.vad_mode is 7"):
        build("audio", audio | {"vad_mode": 7, "frame_ms": 20, "offset_s": None, "duration_s": None})


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("optim", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0}, r"optim\.lr is 0; expected a finite"),
        ("optim", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": float("inf")}, r"optim\.lr is inf"),
        (
            "trainer",
            {"_target_": "pytorch_lightning.Trainer", "gradient_clip_val": -1.0},
            r"gradient_clip_val is -1\.0",
        ),
        (
            "trainer",
            {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "devices": 0},
            "trainer: .*devices=0",
        ),
        (
            "callbacks.best",
            {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "monitor": "val/uar", "mode": "up"},
            "callbacks.best: .*min, max but got up",
        ),
    ],
)
def test_invalid_torch_and_lightning_values_are_refused_early(name, config, message):
    with pytest.raises(InputError, match=message):
        build(name, config)


def test_config_folder_exists():
    assert (config_folder() / "train.yaml").is_file()


EMODB = {
    "_target_": "ser_lightning.corpora.published.PublishedCorpus",
    **{"name": "emodb", "root": None, "on_problem": "skip", "follow_links": False, "download": False},
    **{"downmix": "mean", "merge": None},
}
POOL = {"_target_": "ser_lightning.corpora.pooled.Pooled", "downmix": "mean", "merge": None}


def test_build_pooled_corpus():
    emovo = EMODB | {"name": "emovo"}
    pool = build_corpus(POOL | {"parts": {"emodb": EMODB, "emovo": emovo}})
    assert [type(part).__name__ for part in pool.parts.values()] == ["PublishedCorpus", "PublishedCorpus"]
    assert pool.name == "emodb+emovo"
    assert build_corpus(EMODB).name == "emodb"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"emodb": EMODB, "x": {"_target_": "os.system"}}, r"corpus\.parts\.x\._target_ is 'os\.system'"),
        ({"x": {"_target_": "ser_lightning.audio.audio.Audio"}}, r"only classes of ser_lightning\.corpora"),
        (
            {"x": EMODB | {"rot": 1}},
            r"corpus\.parts\.x\.rot is unknown to PublishedCorpus; .* nearest valid name is 'root'",
        ),
        ({"x": POOL | {"parts": {"emodb": EMODB}}}, r"corpus\.parts\.x is .*; expected the values of a single corpus"),
        ({"x": "emodb"}, r"corpus\.parts\.x is 'emodb'"),
        (["emodb"], r"corpus\.parts\. is \['emodb'\]"),
    ],
)
def test_parts_of_pooled_corpus_must_be_single_corpora(parts, message):
    with pytest.raises(InputError, match=message):
        build_corpus(POOL | {"parts": parts})
