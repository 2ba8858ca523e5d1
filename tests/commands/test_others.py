"""ser-prepare, ser-evaluate, ser-features, ser-predict."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser_lightning.emotions import RAVDESS
from ser_lightning.runs import LATER


def clips_in(root: Path, n: int) -> list[Path]:
    found = sorted(root.rglob("*.flac"))[:n]
    assert len(found) == n
    return found


def test_prepare_fills_the_store_and_tells_what_it_found(command, small, tmp_path):
    words = [w for w in small if not w.startswith(("data.store", "trainer", "data.batch"))]
    done = command("prepare", *words, f"output_root={tmp_path}", f"data.store={tmp_path}/store")
    assert done.code == 0, done.err
    assert "synthetic: 60 utterances" in done.out
    assert "144 training clips with their copies" in done.out
    (index,) = (tmp_path / "store").glob("*/index.json")
    assert len(json.loads(index.read_text())["rows"]) == 36 * 4 + 9 + 15
    assert str(index.parent) in done.out
    assert not (tmp_path / "train").exists()


def test_prepare_lists_what_it_left_out(command, synthetic_root, small, tmp_path, trained):
    """A folder of RAVDESS names that is far from complete, with files that do not belong."""
    root = tmp_path / "Actor_01"
    root.mkdir()
    for clip in sorted(synthetic_root.rglob("*-01.flac")):
        shutil.copy(clip, root / clip.name)
    (root / "notes.wav").write_text("no sound")
    (root / "03-01-01-01-01-02-01.flac").write_text("no sound, but the name of one")
    words = ["corpus=ravdess", f"corpus.root={tmp_path}", "split=random", f"output_root={tmp_path}/out"]
    done = command("prepare", *words)
    assert done.code == 1
    assert "corpus.on_problem=skip" in done.err
    done = command("prepare", *words, "corpus.on_problem=skip")
    assert done.code == 0, done.err
    assert "ravdess: 30 utterances" in done.out
    assert "notes.wav" in done.out
    assert "03-01-01-01-01-02-01.flac" in done.out


def test_evaluate_agrees_with_the_result_to_the_last_digit(command, trained):
    done = command("evaluate", f"run={trained}")
    assert (done.code, done.out.splitlines()[-1]) == (0, "equal, to the last digit"), done.err
    assert repr(json.loads((trained / "result.json").read_text())["metrics"]["test"]["accuracy"]) in done.out


def test_evaluate_under_other_values_is_no_contradiction(command, trained):
    done = command("evaluate", f"run={trained}", "audio.vad_mode=null")
    assert done.code == 0, done.err
    assert "different, and so is the configuration" in done.out


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["evaluation.training_mode=true"], ["evaluation.training_mode: false -> true"]),
        (["evaluation.update_statistics=true"], ["evaluation.update_statistics: false -> true"]),
        (
            ["evaluation.training_mode=true", "data.eval_batch_size=5", "data.eval_shuffle=true"],
            [
                "data.eval_batch_size: 256 -> 5",
                "data.eval_shuffle: false -> true",
                "evaluation.training_mode: false -> true",
            ],
        ),
        (
            ["model.masked=false", "data.eval_batch_size=5"],
            ["data.eval_batch_size: 256 -> 5", "model.masked: true -> false"],
        ),
        (
            ["model.masked=false", "data.eval_batch_size=5", "data.bucket=true"],
            ["data.bucket: false -> true", "data.eval_batch_size: 256 -> 5", "model.masked: true -> false"],
        ),
        (["checkpoint=last"], ['checkpoint: "best" -> "last"']),
    ],
)
def test_evaluate_measures_a_run_in_another_way_and_says_what_changed(command, trained, tmp_path, words, changed):
    output = tmp_path / "figures.json"
    done = command("evaluate", f"run={trained}", f"output={output}", *words)
    assert done.code == 0, done.err
    told = [line.removeprefix("changed: ") for line in done.out.splitlines() if line.startswith("changed: ")]
    assert told == changed
    result, written = json.loads((trained / "result.json").read_text()), json.loads(output.read_text())
    assert written["changed"] == changed
    assert (written["digest"], written["seed"], written["run"]) == (result["digest"], 0, str(trained))
    if words[0].startswith("checkpoint"):
        assert written["metrics"] == result["checkpoints"]["last"]["metrics"]
    else:
        assert written["metrics"]["test"]["loss"] != result["metrics"]["test"]["loss"]
        assert done.out.splitlines()[-2] == "different, and so is the configuration: that is no contradiction"
    again = command("evaluate", f"run={trained}", f"output={tmp_path}/again.json", *words)
    assert again.code == 0
    assert json.loads((tmp_path / "again.json").read_text()) == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluation.training_mode=maybe"], "evaluation.training_mode is 'maybe'; expected bool"),
        (["evaluation.training=true"], "unknown key 'evaluation.training'"),
        (["checkpoint=first"], "checkpoint is 'first'; expected best or last"),
        (["evaluation.training_mode=true", "data.eval_batch_size=1"], "a batch of train with a single clip"),
    ],
)
def test_evaluate_refuses_in_one_line(command, trained, words, message):
    done = command("evaluate", f"run={trained}", *words)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("ser-evaluate: ")
    assert message in line


def test_a_run_that_is_older_than_a_value_is_evaluated_with_it(command, trained, synthetic_root, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    for path in (folder / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        for key in LATER:
            *parents, last = key.split(".")
            part = content["ser_lightning"]["config"]
            for parent in parents:
                part = part[parent]
            del part[last]
        torch.save(content, path)
    assert command("evaluate", f"run={folder}").out.splitlines()[-1] == "equal, to the last digit"
    (clip,) = clips_in(synthetic_root, 1)
    words = [f"checkpoint={folder}/checkpoints/best.ckpt", f"input={clip}", f"output={tmp_path}/p.csv"]
    assert command("predict", *words).code == 0
    done = command("evaluate", f"run={folder}", "evaluation.training_mode=true")
    assert done.code == 0, done.err
    assert "changed: evaluation.training_mode: false -> true" in done.out


def test_predict_hears_in_evaluation_mode_alone(command, trained, synthetic_root, tmp_path):
    (clip,) = clips_in(synthetic_root, 1)
    words = [f"checkpoint={trained}/checkpoints/best.ckpt", f"input={clip}", f"output={tmp_path}/p.csv"]
    done = command("predict", *words, "evaluation.training_mode=true")
    assert done.code == 1
    assert "unknown key 'evaluation.training_mode'" in done.err


def test_evaluate_notices_a_result_that_does_not_follow(command, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    result = json.loads((folder / "result.json").read_text())
    result["metrics"]["test"]["accuracy"] += 0.1
    (folder / "result.json").write_text(json.dumps(result))
    done = command("evaluate", f"run={folder}")
    assert done.code == 1
    assert "DIFFERENT" in done.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no finished run"),
        ("{", "result.json cannot be read"),
        ('{"digest": 1}', "result.json cannot be read"),
    ],
)
def test_evaluate_needs_a_finished_run(command, tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    done = command("evaluate", f"run={tmp_path}")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert message in line
    assert str(tmp_path) in line
    assert command("evaluate").code == 1


def test_features_of_a_folder_keep_its_layout(command, synthetic_root, trained, tmp_path):
    for name, clip in zip(("a.flac", "sub/a.flac"), clips_in(synthetic_root, 2), strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "in" / name)
    done = command("features", f"input={tmp_path}/in", f"output={tmp_path}/out", "audio=untrimmed")
    assert done.code == 0, done.err
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.npy"))
    assert files == ["a.flac.npy", "sub/a.flac.npy"]
    matrix = np.load(tmp_path / "out" / "a.flac.npy")
    info = soundfile.info(tmp_path / "in" / "a.flac")
    assert matrix.dtype == np.float32
    assert matrix.shape[0] == 162
    assert abs(matrix.shape[1] - info.duration * 16000 / 512) < 2
    released = command(
        "features",
        f"input={tmp_path}/in/a.flac",
        f"output={tmp_path}/rel",
        "features=released",
        "audio=untrimmed",
    )
    assert released.code == 0
    assert np.load(tmp_path / "rel" / "a.flac.npy").shape[1] > 1.3 * matrix.shape[1]


@pytest.fixture
def mixed(synthetic_root, trained, tmp_path) -> Path:
    """A folder of three good recordings and two bad ones."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for clip in clips_in(synthetic_root, 3):
        shutil.copy(clip, folder)
    (folder / "a.wav").write_text("no sound")
    soundfile.write(folder / "z.wav", np.zeros(0), 16000)
    return folder


@pytest.mark.parametrize("name", ["predict", "features"])
def test_a_folder_with_bad_files_goes_on_with_the_good_ones(command, mixed, trained, tmp_path, name):
    words = [f"input={mixed}", f"output={tmp_path}/out"]
    if name == "predict":
        words.append(f"checkpoint={trained}/checkpoints/best.ckpt")
    done = command(name, *words)
    assert done.code == 3
    left = [line for line in done.err.splitlines() if "left out" in line]
    assert len(left) == 2
    assert "a.wav" in left[0]
    assert "z.wav" in left[1]
    assert "3 of 5 recordings" in done.out


def predicted(path: Path) -> list[dict]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_predict_agrees_with_the_run_whatever_the_batches(command, synthetic_root, trained, tmp_path):
    words = [f"checkpoint={trained}/checkpoints/best.ckpt", f"input={synthetic_root}"]
    tables = []
    for batch_size in (1, 7, 60):
        output = tmp_path / f"{batch_size}.csv"
        done = command("predict", *words, f"output={output}", f"data.batch_size={batch_size}")
        assert done.code == 0, done.err
        tables.append(predicted(output))
    for table in tables[1:]:
        assert [row["prediction"] for row in table] == [row["prediction"] for row in tables[0]]
        for row, other in zip(table, tables[0], strict=True):
            assert float(row["calm"]) == pytest.approx(float(other["calm"]), abs=2e-6)
    by_id = {Path(row["path"]).stem: row for row in tables[0]}
    for row in predicted(trained / "predictions.csv"):
        assert by_id[row["utterance"]]["prediction"] == row["prediction"]
        for emotion in RAVDESS:
            assert float(by_id[row["utterance"]][emotion]) == pytest.approx(float(row[emotion]), abs=2e-6)


def test_predict_takes_overrides_of_the_checkpoint(command, synthetic_root, trained, tmp_path):
    (clip,) = clips_in(synthetic_root, 1)
    words = [f"checkpoint={trained}/checkpoints/best.ckpt", f"input={clip}", f"output={tmp_path}/p.csv"]
    tables = []
    for change in ([], ["audio=untrimmed"], ["audio.vad_mode=3"]):
        assert command("predict", *words, *change).code == 0
        tables.append(predicted(tmp_path / "p.csv"))
    assert tables[0] != tables[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "checkpoint is missing"),
        (["checkpoint=/no/such.ckpt"], "there is no checkpoint /no/such.ckpt"),
        (["checkpoint={good}", "input=/no/such", "output={tmp}/p.csv"], "there is no /no/such"),
        (["checkpoint={good}", "input={tmp}", "output={tmp}/p.csv"], "the folder {tmp} holds no sound file"),
        (["checkpoint={good}", "input={tmp}"], "output is missing"),
        (
            ["checkpoint={good}", "input={tmp}", "output={tmp}/p.csv", "data.batch_size=0"],
            "data.batch_size is 0",
        ),
        (
            ["checkpoint={good}", "input={tmp}", "output={tmp}/p.csv", "audio=untrimed"],
            "the nearest valid name is 'untrimmed'",
        ),
        (["checkpoint={good}", "inptu={tmp}"], "unknown key 'inptu'"),
        (["checkpoint={good}", "input={tmp}/in", "output={tmp}/p.csv", "model.hidden=7"], "is of another model"),
    ],
)
def test_predict_refuses_in_one_line(command, trained, tmp_path, words, message):
    good = trained / "checkpoints" / "best.ckpt"
    done = command("predict", *[word.format(good=good, tmp=tmp_path) for word in words])
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("ser-predict: ")
    assert message.format(tmp=tmp_path) in line
    assert not (tmp_path / "p.csv").exists()


def test_a_folder_of_bad_files_alone_gives_no_output(command, trained, tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    words = [f"checkpoint={trained}/checkpoints/best.ckpt", f"input={tmp_path}", f"output={tmp_path}/p.csv"]
    assert command("predict", *words).code == 1
    assert not (tmp_path / "p.csv").exists()
