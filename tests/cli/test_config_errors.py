"""Invalid configs are refused in one line before any work, with the nearest valid name."""

import resource
import subprocess
import sys

import pytest
from tests.configs import changed, composed

from ser_lightning.errors import InputError
from ser_lightning.train import train


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus=synthetic_small", "corpus.speaker=3"], "the nearest valid name is 'corpus.speakers'"),
        (["corpus=synthetic_small", "corpus.on_problem=skip"], "unknown key 'corpus.on_problem' on the command line"),
        (["++model.dropuot=1"], "the nearest valid name is 'dropout'"),
        (["drpout=p25"], "unknown key 'drpout' on the command line; the nearest valid name is 'dropout'"),
        (
            ["dropout=p26"],
            "dropout=p26: no such option; expected one of none, p10, p25, p50; the nearest valid name is 'p25'",
        ),
        (["experiment=papr"], "the nearest valid name is 'paper'"),
        (["nonsense"], "nonsense"),
        (["trainer=null"], "Config group override must be a string or a list"),
        (["seed=abc"], "seed is 'abc'; expected int"),
    ],
)
def test_invalid_command_line_is_refused_in_one_line_before_any_work(refused, tmp_path, words, message):
    line = refused("train", f"output_root={tmp_path}/out", f"corpus.root={tmp_path}/none", *words)
    assert line.startswith("ser-train: ")
    assert message in line
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "out"])
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=-1", "seed -1"),
        ("seed=5000000000", "0 to 2^32-1"),
        ("threads=0", "threads is 0"),
        ("name=a/../../b", "name is 'a/../../b'; expected a folder below output_root"),
        ("run_id=../b", "run_id is '../b'; expected a folder below output_root"),
        ("study_metric=1", "study_metric is 1; expected bool"),
        ("checkpoint=first", "checkpoint is 'first'; expected best or last"),
        ("monitor=val/war", "monitor is 'val/war'; logged are"),
        ("monitor=val/usr", "; the nearest valid name is 'val/uar'"),
        ("callbacks.best.monitor=val/war", "callbacks.best.monitor is 'val/war'; logged are"),
        ("callbacks.best.mode=up", "callbacks.best: `mode` can be min, max but got up"),
        ("callbacks.best._target_=os.system", "callbacks.best._target_ is 'os.system'"),
        ("logger.tensorboard._target_=subprocess.Popen", "logger.tensorboard._target_ is 'subprocess.Popen'"),
        ("optim._target_=torch.optim.SGDD", "the nearest valid name is 'SGD'"),
        ("optim._target_=torch.optm.Adam", "optim._target_ is 'torch.optm.Adam'; only classes of torch.optim.*"),
        ("optim.lr=0", "optim.lr is 0; expected a finite number above 0"),
        ("optim.lr=foo", "optim: "),
        ("loss._target_=torch.nn.CrossEntropyLoss", "loss._target_ is 'torch.nn.CrossEntropyLoss'"),
        (
            "evaluation._target_=ser_lightning.task.EmotionTask",
            "evaluation._target_ is 'ser_lightning.task.EmotionTask'",
        ),
        ("evaluation.training_mode=yes", "evaluation.training_mode is 'yes'; expected bool"),
        ("evaluation.update_statistics=1", "evaluation.update_statistics is 1; expected bool"),
        ("+evaluation.both=true", "evaluation.both is unknown to Evaluation"),
        ("+trainer.foo=1", "trainer: "),
        ("trainer.max_epochs=-1", "trainer.max_epochs is -1; expected a whole number of at least 1"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val is -1; expected a finite number above 0"),
        ("model._target_=os.system", "model._target_ is 'os.system'"),
        ("model.strides=[0,2]", "model.strides is [0, 2]; expected whole numbers of at least 1"),
        ("model.hidden=0", "model.hidden is [0]"),
        ("model.activation=gelu", "model.activation is 'gelu'"),
        ("model.dropout=1.5", "model: the dropout probability is 1.5"),
        ("model.dropout=high", "model.dropout is 'high'; expected float"),
        ("augment.noise_sigma=-1", "augment.noise_sigma is -1"),
        ("augment.pitch_steps=[3,3]", "augment.pitch_steps is [3, 3]; expected distinct semitones"),
        (
            "data.balance=class",
            "data.balance is 'class'; expected none or classes; the nearest valid name is 'classes'",
        ),
        ("data.batch_size=0", "data.batch_size is 0; expected at least 1"),
        ("data.batch_size=1", "data.batch_size is 1; expected at least 2"),
        ("data.eval_batch_size=-2", "data.eval_batch_size is -2; expected at least 1"),
        ("data.feature_workers=two", "data.feature_workers is 'two'"),
        ("split.train=1.2", "fractions between 0 and 1 that sum to 1"),
        ("audio.resampler=soxx", "the nearest valid name is 'soxr'"),
        ("corpus.downmix=maen", "corpus.downmix is 'maen'; expected one of mean, interleave, right"),
        ("corpus.root=null", "corpus.download=true"),
        ("corpus.root=/no/such/folder", "/no/such/folder"),
    ],
)
def test_invalid_value_is_refused_before_any_work(tmp_path, word, message):
    own = (f"output_root={tmp_path}/out", f"folder={tmp_path}/out/x", f"corpus.root={tmp_path}/none")
    config = changed(composed("split=random"), *own, word)
    with pytest.raises(InputError) as refused:
        train(config, choices={}, overrides=[])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.glob("out/*")) == []


def test_unknown_manifest_is_refused(tmp_path):
    config = changed(composed(), f"folder={tmp_path}/out/x", "split.manifest=ravdess_relased")
    with pytest.raises(InputError, match="the nearest valid name is 'ravdess_released'"):
        train(config, choices={}, overrides=[])


def test_full_disk_gives_a_one_line_error(trained, synthetic_root, tmp_path):
    (clip, *_) = synthetic_root.rglob("*.flac")
    code = "from ser_lightning.cli.features import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(clip), "--output", f"{tmp_path}/out"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert "File too large" in line
    assert "free some space" in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
