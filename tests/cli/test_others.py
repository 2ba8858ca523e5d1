"""ser-prepare, ser-evaluate, ser-features, ser-predict."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.conftest import settings, without_calibration

from ser_lightning.labels import RAVDESS
from ser_lightning.predict.formats import COLUMNS


def clips_in(root: Path, n: int) -> list[Path]:
    found = sorted(root.rglob("*.flac"))[:n]
    assert len(found) == n
    return found


def test_prepare_fills_the_feature_cache_and_prints_a_summary(succeed, small, tmp_path):
    words = [w for w in small if not w.startswith(("data.feature_cache", "trainer", "data.batch"))]
    done = succeed("prepare", *words, f"output_root={tmp_path}", f"data.feature_cache={tmp_path}/store")
    assert "synthetic: 60 utterances" in done.out
    assert "144 training clips with their copies" in done.out
    (index,) = (tmp_path / "store").glob("*/index.json")
    assert len(json.loads(index.read_text())["rows"]) == 36 * 4 + 9 + 15
    assert str(index.parent) in done.out
    assert not (tmp_path / "train").exists()


def test_prepare_lists_excluded_files(command, succeed, synthetic_root, small, tmp_path, trained):
    """The RAVDESS folder is incomplete and has files that do not belong to the corpus."""
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
    done = succeed("prepare", *words, "corpus.on_problem=skip")
    assert "ravdess: 30 utterances" in done.out
    assert "notes.wav" in done.out
    (rows,) = (tmp_path / "out" / "data_cards").rglob("refused_and_left_out.csv")
    assert "Actor_01/03-01-01-01-01-02-01.flac," in rows.read_text()


def test_evaluate_reproduces_the_result(command, trained):
    done = command("evaluate", str(trained))
    assert (done.code, done.out.splitlines()[-1]) == (0, "The metrics are equal to the last digit."), done.err
    assert repr(json.loads((trained / "result.json").read_text())["metrics"]["test"]["accuracy"]) in done.out


def test_evaluate_accepts_other_metrics_when_config_was_changed(succeed, trained):
    done = succeed("evaluate", str(trained), "--set", "audio.vad_mode=null")
    assert "as expected: the configuration was changed" in done.out


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
def test_evaluate_reports_changed_settings(succeed, trained, tmp_path, words, changed):
    output = tmp_path / "figures.json"
    done = succeed("evaluate", str(trained), "--output", str(output), *settings(*words))
    changed_keys = [line.removeprefix("changed: ") for line in done.out.splitlines() if line.startswith("changed: ")]
    assert changed_keys == changed
    result, written = json.loads((trained / "result.json").read_text()), json.loads(output.read_text())
    assert written["changed"] == changed
    assert (written["digest"], written["seed"], written["run"]) == (result["digest"], 0, str(trained))
    if words[0].startswith("checkpoint"):
        assert written["metrics"] == result["checkpoints"]["last"]["metrics"]
    else:
        assert written["metrics"]["test"]["loss"] != result["metrics"]["test"]["loss"]
        assert not written["equal"]
        assert "as expected: the configuration was changed" in done.out.splitlines()[-2]
    again = succeed("evaluate", str(trained), "-o", f"{tmp_path}/again.json", "--json", *settings(*words))
    assert json.loads(again.out) == written
    assert json.loads((tmp_path / "again.json").read_text()) == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluation.training_mode=maybe"], "evaluation.training_mode is 'maybe'; expected bool"),
        (
            ["evaluation.training=true"],
            "unknown key 'evaluation.training'; the nearest valid name is 'evaluation.train",
        ),
        (["audio=untrimed"], "audio=untrimed: no such option; expected one of"),
        (["audio=untrimed"], "the nearest valid name is 'untrimmed'"),
        (["split=speaker"], "you can change how it is evaluated"),
        (["split.seed=3"], "evaluated on the split that it was trained with"),
        (["corpus=emodb"], "give another corpus as --corpus emodb"),
        (["dropout=none"], "set model.dropout of the checkpoint instead"),
        (["experiment=paper"], "an experiment describes the training of a run"),
        (["seed=1,2"], "gives several values"),
        (["evaluation=true"], "evaluation=true: no such option"),
        (["seed"], "expected key=value"),
        (["model.mlp=[60,50"], "model.mlp is '[60,50'; expected"),
        (["checkpoint=first"], "checkpoint is 'first'; expected best or last"),
        (["evaluation.training_mode=true", "data.eval_batch_size=1"], "a batch of train with a single clip"),
    ],
)
def test_evaluate_refuses_invalid_settings_in_one_line(refused, trained, words, message):
    line = refused("evaluate", str(trained), *settings(*words))
    assert line.startswith("ser-evaluate: ")
    assert message in line


def test_predict_refuses_training_mode(command, trained, synthetic_root, tmp_path):
    (clip,) = clips_in(synthetic_root, 1)
    words = [str(clip), "--model", f"{trained}/checkpoints/best.ckpt", "--output", f"{tmp_path}/p.csv"]
    done = command("predict", *words, "--set", "evaluation.training_mode=true")
    assert done.code == 1
    assert "unknown key 'evaluation.training_mode'" in done.err


def test_evaluate_detects_inconsistent_results(command, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    result = json.loads((folder / "result.json").read_text())
    result["metrics"]["test"]["accuracy"] += 0.1
    (folder / "result.json").write_text(json.dumps(result))
    done = command("evaluate", str(folder))
    assert done.code == 1
    assert "the configuration is the same" in done.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no finished run"),
        ("{", "result.json cannot be read"),
        ('{"digest": 1}', "result.json cannot be read"),
    ],
)
def test_evaluate_needs_a_finished_run(command, refused, tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    line = refused("evaluate", str(tmp_path))
    assert message in line
    assert str(tmp_path) in line
    assert command("evaluate").code == 2


def test_features_keeps_the_folder_layout(succeed, synthetic_root, trained, tmp_path):
    for name, clip in zip(("a.flac", "sub/a.flac"), clips_in(synthetic_root, 2), strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "in" / name)
    succeed("features", f"{tmp_path}/in", "--output", f"{tmp_path}/out", "--set", "audio=untrimmed")
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.npy"))
    assert files == ["a.flac.npy", "sub/a.flac.npy"]
    matrix = np.load(tmp_path / "out" / "a.flac.npy")
    info = soundfile.info(tmp_path / "in" / "a.flac")
    assert matrix.dtype == np.float32
    assert matrix.shape[1] == 162
    assert abs(len(matrix) - info.duration * 16000 / 512) < 2
    succeed(
        "features",
        *(f"{tmp_path}/in/a.flac", "--output", f"{tmp_path}/rel"),
        *settings("features=released", "audio=untrimmed"),
    )
    assert np.load(tmp_path / "rel" / "a.flac.npy").shape[0] > 1.3 * len(matrix)


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
def test_unreadable_files_are_skipped(command, mixed, trained, tmp_path, name):
    words = [str(mixed), "--output", f"{tmp_path}/out" + ".csv" * (name == "predict")]
    if name == "predict":
        words += ["--model", f"{trained}/checkpoints/best.ckpt"]
    done = command(name, *words)
    assert done.code == 3
    left = [line for line in done.err.splitlines() if "left out" in line]
    assert len(left) == 2
    assert "a.wav" in left[0]
    assert "z.wav" in left[1]
    assert "3 of 5 recordings" in done.out + done.err


def predicted(path: Path) -> list[dict]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_predict_matches_the_run_for_any_batch_size(succeed, synthetic_root, trained, tmp_path):
    checkpoint = without_calibration(trained / "checkpoints" / "best.ckpt", tmp_path)
    words = [str(synthetic_root), "--model", str(checkpoint)]
    tables = []
    for batch_size in (1, 7, 60):
        output = tmp_path / f"{batch_size}.csv"
        succeed("predict", *words, "--output", str(output), "--set", f"data.batch_size={batch_size}")
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


def test_predict_accepts_config_overrides(command, synthetic_root, trained, tmp_path):
    (clip,) = clips_in(synthetic_root, 1)
    words = [str(clip), "--model", f"{trained}/checkpoints/best.ckpt", "--output", f"{tmp_path}/p.csv"]
    tables = []
    for change in ([], ["audio=untrimmed"], ["audio.vad_mode=3"]):
        assert command("predict", *words, *settings(*change)).code == 0
        tables.append(predicted(tmp_path / "p.csv"))
    assert tables[0] != tables[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{clip}", "--model", "/no/such.ckpt"], "there is no checkpoint /no/such.ckpt"),
        (["/no/such", "--model", "{good}"], "/no/such does not exist"),
        (["input={clip}", "--model", "{good}"], "--set key=value"),
        (["{tmp}/empty", "--model", "{good}"], "the folder {tmp}/empty contains no audio file"),
        (["", "--model", "{good}"], "empty name"),
        (["{clip}", "--model", "{good}", "--set", "data.batch_size=0"], "data.batch_size is 0"),
        (["{clip}", "--model", "{good}", "--set", "audio=untrimed"], "the nearest valid name is 'untrimmed'"),
        (["{clip}", "--model", "{good}", "--set", "inptu=3"], "unknown key 'inptu'"),
        (["{clip}", "--model", "{good}", "--force", "--set", "model.hidden=7"], "is of another model"),
    ],
)
def test_predict_refuses_invalid_arguments_in_one_line(command, trained, synthetic_root, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (clip,) = clips_in(synthetic_root, 1)
    names = {"good": trained / "checkpoints" / "best.ckpt", "tmp": tmp_path, "clip": clip}
    done = command("predict", *[word.format(**names) for word in words], "--output", f"{tmp_path}/p.csv")
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("ser-predict: ")
    assert message.format(**names) in line
    assert done.out == ""
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--output"),
        (["--output", "{clip}"], "is not a folder"),
        (["--output", "-"], "give a folder"),
        (["--output", "/proc/features"], "/proc/features cannot be written"),
        (["--output", "{tmp}/out", "--set", "model=gmm"], "unknown key 'model'"),
        (["--output", "{tmp}/out", "--set", "features=papr"], "the nearest valid name is 'paper'"),
        (["--output", "{tmp}/out", "--set", "features.n_ftt=512"], "the nearest valid name is 'features.n_fft'"),
    ],
)
def test_features_refuses_invalid_arguments_in_one_line(refused, synthetic_root, tmp_path, words, message):
    (clip,) = clips_in(synthetic_root, 1)
    line = refused("features", str(clip), *[word.format(tmp=tmp_path, clip=clip) for word in words])
    assert line.startswith("ser-features: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_folder_with_only_unreadable_files_gives_no_output(command, trained, tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    words = [str(tmp_path), "--model", f"{trained}/checkpoints/best.ckpt"]
    assert command("predict", *words, "--output", f"{tmp_path}/p.csv").code == 1
    assert not (tmp_path / "p.csv").exists()
    done = command("predict", *words)
    assert (done.code, done.out) == (1, "")


def test_json_and_csv_predictions_agree(command, succeed, trained, synthetic_root, tmp_path):
    clips = [str(clip) for clip in clips_in(synthetic_root, 3)]
    words = [*clips, "--model", f"{trained}/checkpoints/best.ckpt"]
    done = succeed("predict", *words)
    table = list(csv.DictReader(done.out.splitlines()))
    assert [row["path"] for row in table] == clips
    texts = [command("predict", *words, "--json").out]
    for name in ("p.json", "p.jsonl", "p.csv"):
        assert command("predict", *words, "--output", f"{tmp_path}/{name}").code == 0
        texts.append((tmp_path / name).read_text())
    lines, array, json_lines, written = texts
    assert json_lines == lines
    assert written == done.out
    rows = [json.loads(line) for line in lines.splitlines()]
    assert json.loads(array) == rows
    for row, other in zip(rows, table, strict=True):
        assert list(row) == [*COLUMNS, "probabilities", "warnings"]
        assert list(other) == [*COLUMNS, *RAVDESS, "warnings"]
        assert (row["path"], row["prediction"]) == (other["path"], other["prediction"])
        assert [row[name] for name in ("start", "end", "speech")] == [
            float(other[name]) for name in ("start", "end", "speech")
        ]
        assert 0 < row["speech"] <= row["end"] == pytest.approx(soundfile.info(row["path"]).duration, abs=5e-4)
        assert list(row["probabilities"]) == list(RAVDESS)
        assert {name: f"{value:.6f}" for name, value in row["probabilities"].items()} == {
            name: other[name] for name in RAVDESS
        }
    done = command("predict", *words, "--json", "--output", f"{tmp_path}/p.csv")
    assert done.code == 1
    assert ".jsonl" in done.err


def test_features_of_equal_file_names_do_not_overwrite_each_other(succeed, synthetic_root, tmp_path):
    clips = clips_in(synthetic_root, 2)
    for name, clip in zip(("a", "b"), clips, strict=True):
        (tmp_path / name).mkdir()
        shutil.copy(clip, tmp_path / name / "x.flac")
    words = ["--output", f"{tmp_path}/out", "--set", "audio=untrimmed", "--json"]
    done = succeed("features", f"{tmp_path}/a/x.flac", f"{tmp_path}/b", f"{tmp_path}/b/x.flac", *words)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["path"] for row in rows] == [f"{tmp_path}/{name}/x.flac" for name in "ab"]
    for row, name in zip(rows, "ab", strict=True):
        assert row["features"] == f"{tmp_path}/out/{name}/x.flac.npy"
        assert list(np.load(row["features"]).shape) == row["shape"]
    assert rows[0]["shape"] != rows[1]["shape"]


def test_output_never_replaces_input_or_checkpoint(command, trained, synthetic_root, tmp_path):
    (clip,) = clips_in(synthetic_root, 1)
    recording, model = tmp_path / "recording.csv", tmp_path / "model.json"
    shutil.copy(clip, recording)
    shutil.copy(trained / "checkpoints" / "best.ckpt", model)
    for output in (recording, model):
        before = output.read_bytes()
        done = command("predict", str(recording), "--model", str(model), "--output", str(output))
        assert done.code == 1
        assert str(output) in done.err
        assert output.read_bytes() == before
