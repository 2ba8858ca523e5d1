"""Invalid command lines are refused in one line before any work, with the nearest valid name.

More cases (fractions, batches, epochs, dropout, monitor) are in test_train.py and test_build.py.
"""

import resource
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus=synthetic_small", "corpus.speaker=3"], "the nearest valid name is 'corpus.speakers'"),
        (["corpus=synthetic_small", "corpus.on_problem=skip"], "unknown key 'corpus.on_problem' on the command line"),
        (["split=random", "split.sead=3"], "the nearest valid name is 'split.seed'"),
        (["++model.dropuot=1"], "the nearest valid name is 'dropout'"),
        (["optim._target_=torch.optim.SGDD"], "the nearest valid name is 'SGD'"),
        (["optim._target_=torch.optm.Adam"], "optim._target_ is 'torch.optm.Adam'; only classes of torch.optim.*"),
        (["logger.tensorboard._target_=subprocess.Popen"], "logger.tensorboard._target_ is 'subprocess.Popen'"),
        (["callbacks.best._target_=os.system"], "callbacks.best._target_ is 'os.system'"),
        (["mode=up"], "callbacks.best: `mode` can be min, max but got up"),
        (["trainer.accelerator=cpu", "trainer.devices=0"], "trainer.devices is 0"),
        (["trainer.deterministic=maybe"], "trainer.deterministic is 'maybe'; expected"),
        (["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val is -1; expected a finite number above 0"),
        (["optim.lr=0"], "optim.lr is 0; expected a finite number above 0"),
        (["dropout.p=high"], "model.dropout is 'high'; expected float"),
        (
            ["data.balance=class"],
            "data.balance is 'class'; expected none or classes; the nearest valid name is 'classes'",
        ),
        (["data.eval_batch_size=-2"], "data.eval_batch_size is -2; expected at least 1"),
        (["split=random", "split.train=1.2", "split.val=-0.45"], "expected fractions between 0 and 1 that sum to 1"),
        (["split.manifest=ravdess_relased"], "the nearest valid name is 'ravdess_released'"),
        (["audio.resampler=soxx"], "the nearest valid name is 'soxr'"),
        (["corpus.downmix=maen"], "corpus.downmix is 'maen'; expected one of mean, interleave, right"),
    ],
)
def test_invalid_config_is_refused_in_one_line_before_any_work(command, tmp_path, words, message):
    done = command("train", f"output_root={tmp_path}/out", f"corpus.root={tmp_path}/none", *words)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("ser-train: ")
    assert message in line
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "out"])
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.parametrize("name", ["predict", "features"])
def test_full_disk_gives_a_one_line_error(trained, synthetic_root, tmp_path, name):
    (clip, *_) = synthetic_root.rglob("*.flac")
    words = [str(clip), "--output", f"{tmp_path}/out" + ".csv" * (name == "predict")]
    if name == "predict":
        words += ["--model", f"{trained}/checkpoints/best.ckpt"]
    code = f"from ser_lightning.cli.{name} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
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
