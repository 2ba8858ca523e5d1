"""Other corpora and pooled corpora on the command line; cross-corpus evaluation."""

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import confusion_matrix, recall_score
from tests.configs import composed
from tests.conftest import settings

from ser_lightning.checkpoint import read_checkpoint
from ser_lightning.cli.checkpoint_config import config_of
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.labels import EMOTIONS, RAVDESS

POOL = ("corpus=pooled", "corpus/parts=[synthetic_small,emodb]")
SHARED = ("neutral", "happy", "sad", "angry", "fearful", "disgust")  # emotions of both RAVDESS and EmoDB


@pytest.fixture
def pool(emodb_made_up, synthetic_root, shared_folder) -> list[str]:
    return [
        *POOL,
        f"corpus.parts.synthetic_small.root={synthetic_root}",
        f"corpus.parts.emodb.root={emodb_made_up}",
        "corpus.parts.emodb.on_problem=skip",
        f"data.feature_cache={shared_folder / 'feature_cache'}",
        *("split=speaker", "split.folds=4", "augment=none", "trainer.max_epochs=1", "data.batch_size=32"),
    ]


@pytest.fixture(scope="module")
def pooled(emodb_made_up, synthetic_root, shared_folder, tmp_path_factory) -> Path:
    """The folder of a run trained on pooled corpora."""
    from tests.conftest import run_command

    root = tmp_path_factory.mktemp("pooled")
    words = [
        *(*POOL, f"corpus.parts.synthetic_small.root={synthetic_root}", f"corpus.parts.emodb.root={emodb_made_up}"),
        *(
            "corpus.parts.emodb.on_problem=skip",
            f"data.feature_cache={shared_folder / 'feature_cache'}",
            f"output_root={root}",
        ),
        *("split=speaker", "split.folds=4", "augment=none", "trainer.max_epochs=1", "data.batch_size=32"),
    ]
    assert run_command("train", "experiment=corrected", *words)[0] == 0
    return root / "corrected" / "dropout-p25" / "fold-0" / "seed-0"


# ---------------------------------------------------------------------- the command line


def test_pool_contains_the_configs_of_its_parts():
    pool = ("corpus=pooled", "corpus/parts=[ravdess,emovo]", "corpus.parts.emovo.root=/x")
    config = composed(*pool)
    assert list(config["corpus"]["parts"]) == ["ravdess", "emovo"]
    assert config["corpus"]["parts"]["emovo"] == composed("corpus=emovo")["corpus"] | {"root": "/x"}
    assert config["corpus"]["downmix"] == config["audio"]["downmix"] == {"ravdess": "mean", "emovo": "right"}
    merged = composed(*pool, "corpus.merge={calm: neutral}", "corpus.parts.emovo.downmix=mean")
    assert merged["corpus"]["merge"] == {"calm": "neutral"}
    assert merged["audio"]["downmix"]["emovo"] == "mean"
    assert composed(*pool, "experiment=released")["audio"]["downmix"] == "interleave"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["corpus=pooled", "corpus/parts=[ravdess,emdob]"], ("corpus/parts=emdob", "'emodb'")),
        (["corpus=pooled", "corpus/parts=[emodb,emodb]"], ("emodb",)),
        (["corpus=pooled"], ("corpus/parts=[ravdess,emodb]",)),
        (["corpus=pooled", "corpus/parts=[emodb]"], ("corpus/parts=[ravdess,emodb]",)),
        (["corpus/parts=[emodb,emovo]"], ("corpus=pooled",)),
        (["corpus=[ravdess,emodb]"], ("corpus=pooled", "corpus/parts=[ravdess,emodb]")),
    ],
)
def test_invalid_pools_are_refused_with_the_remedy(refused, words, named):
    line = refused("prepare", *words)
    assert line.startswith("ser-prepare: ")
    assert all(name in line for name in named), line


# ---------------------------------------------------------------------- runs


def test_run_on_another_corpus_uses_its_labels(command, succeed, emodb_small, tmp_path):
    succeed("train", "experiment=corrected", *emodb_small, f"output_root={tmp_path}")
    folder = tmp_path / "corrected" / "dropout-p25" / "fold-0" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    assert result["emotions"] == list(DEFINITIONS["emodb"].labels)
    assert result["corpus"]["name"] == "emodb"
    assert len(result["confusion_matrix"]["test"]) == 7
    assert list(result["per_class_recall"]["test"]) == list(DEFINITIONS["emodb"].labels)
    assert not result["audit"]["leak"]
    rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
    assert {row["gender"] for row in rows} == {"male", "female"}
    assert {row["intensity"] for row in rows} == {""}
    assert (folder / "tensorboard").is_dir()
    assert command("evaluate", str(folder)).out.splitlines()[-1] == "The metrics are equal to the last digit."


@pytest.mark.slow
def test_run_on_a_pool(pooled):
    result = json.loads((pooled / "result.json").read_text())
    assert result["corpus"]["name"] == "synthetic_small+emodb"
    assert result["emotions"] == list(EMOTIONS)  # union of RAVDESS and EmoDB
    assert result["choices"]["corpus"] == "pooled"
    assert list(result["config"]["corpus"]["parts"]) == ["synthetic_small", "emodb"]
    assert {problem["path"].split("/")[0] for problem in result["corpus"]["problems"]} == {"emodb"}
    assert not result["audit"]["leak"]
    rows = list(csv.DictReader((pooled / "predictions.csv").read_text().splitlines()))
    assert {row["utterance"].split("/")[0] for row in rows} == {"synthetic_small", "emodb"}
    assert all(row["utterance"].split("/")[0] == row["speaker"].split("/")[0] for row in rows)
    counts = Counter(row["intensity"] for row in rows)
    assert counts.keys() == {"normal", "strong", ""}
    assert counts[""] == sum(row["utterance"].startswith("emodb/") for row in rows)
    split = list(csv.DictReader((pooled / "split.csv").read_text().splitlines()))
    subsets = {row["speaker"]: row["subset"] for row in split}
    assert all(subsets[row["speaker"]] == row["subset"] for row in split)
    assert set(subsets.values()) == {"train", "val", "test"}


def test_pool_round_trips_through_its_checkpoint(command, pooled, emodb_made_up, tmp_path):
    done = command("evaluate", str(pooled))
    assert (done.code, done.out.splitlines()[-1]) == (0, "The metrics are equal to the last digit."), done.err
    done = command("evaluate", str(pooled), "--set", "corpus.parts.emodb.root=/no/such")
    assert done.code == 1
    assert "/no/such: no such folder" in done.err
    assert "corpus.parts.emodb.root" in done.err

    words = ["--model", f"{pooled}/checkpoints/best.ckpt", "--output", f"{tmp_path}/p.csv"]
    clip = next(emodb_made_up.glob("*.flac"))
    assert command("predict", *words, str(clip)).code == 0
    (row,) = csv.DictReader((tmp_path / "p.csv").read_text().splitlines())
    assert [name for name in row if name in EMOTIONS] == list(EMOTIONS)
    mono, _ = soundfile.read(clip)
    soundfile.write(tmp_path / "stereo.wav", np.stack([mono, mono], 1), 16000)
    assert command("predict", *words, f"{tmp_path}/stereo.wav").code == 0
    (same,) = csv.DictReader((tmp_path / "p.csv").read_text().splitlines())
    assert same["channel"] == "mean"
    assert [same[name] for name in EMOTIONS] == [row[name] for name in EMOTIONS]
    refused = command("predict", *words, f"{tmp_path}/stereo.wav", "--set", "audio.downmix=right")
    assert refused.code == 1
    assert "--channels" in refused.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda parts: parts["emodb"].update(_target_="os.system", command="touch mark"),
            "corpus.parts.emodb._target_ is 'os.system'",
        ),
        (lambda parts: parts["emodb"].update(root="${oc.env:HOME}"), "no interpolation"),
        (lambda parts: parts.update(emodb=["x"]), "corpus.parts.emodb is ['x']"),
    ],
)
def test_pool_of_an_untrusted_checkpoint_builds_only_corpora(command, pooled, tmp_path, change, message):
    folder = tmp_path / "run"
    shutil.copytree(pooled, folder)
    for path in (folder / "checkpoints").iterdir():
        raw = torch.load(path, weights_only=True)
        change(raw["ser_lightning"]["config"]["corpus"]["parts"])
        torch.save(raw, path)
    done = command("evaluate", str(folder))
    assert done.code == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not list(tmp_path.rglob("mark"))


@pytest.mark.slow
def test_sweep_over_pools(succeed, tmp_path, monkeypatch):
    """The corpora are complete, but of short tones, so that all jobs can share the same overrides."""
    for name, ids in (("EMODB", DEFINITIONS["emodb"].ids()), ("EMOVO", DEFINITIONS["emovo"].ids())):
        monkeypatch.setenv(f"{name}_ROOT", str(tmp_path / name))
        (tmp_path / name).mkdir()
        for number, id_ in enumerate(sorted(ids)):
            tone = np.sin(np.arange(3000 + number) * (0.02 + 0.0002 * number))
            soundfile.write(tmp_path / name / f"{id_}.flac", 0.3 * tone, 16000)
    succeed(
        *(
            "train",
            "--multirun",
            "corpus=pooled",
            "corpus/parts=[emodb,emovo],[emovo,emodb]",
            "split=speaker",
            "split.folds=5",
            "augment=none",
        ),
        *("audio=untrimmed", "trainer.max_epochs=1", "data.feature_workers=1", f"output_root={tmp_path}/out", "name=s"),
    )
    found = {path.parent.relative_to(tmp_path / "out/s").as_posix() for path in tmp_path.rglob("result.json")}
    assert found == {f"corpus.parts-{name}/dropout-p25/fold-0/seed-0" for name in ("emodb+emovo", "emovo+emodb")}
    pool = json.loads((tmp_path / "out/s/corpus.parts-emodb+emovo/dropout-p25/fold-0/seed-0/result.json").read_text())
    assert (pool["corpus"]["name"], pool["corpus"]["utterances"]) == ("emodb+emovo", 535 + 588)


def test_audit_of_a_pool(command, succeed, pool, tmp_path):
    words = [word for word in pool if not word.startswith(("trainer", "data.batch", "split", "corpus.parts.emodb.on"))]
    done = command("audit", *words, "split=random", f"output={tmp_path}/audit.json")
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["corpus"] == "synthetic_small+emodb"
    take = next(f for f in content["findings"] if f["name"] == "other take in training")
    assert take["found"]  # in EmoDB: the synthetic corpus has one take per utterance
    assert all(name.startswith("emodb/") for pair in take["examples"] for name in pair)
    assert done.code == 4, done.err
    succeed("audit", *words, "split=take")


# ---------------------------------------------------------------------- cross-corpus evaluation


def across(command, run: Path, root: Path, output: Path, *more: str):
    words = [str(run), "--corpus", "emodb", "--output", str(output)]
    return command("evaluate", *words, *settings(f"corpus.root={root}", "corpus.on_problem=skip", *more))


def test_cross_corpus_evaluation_uses_all_clips_of_shared_emotions(command, trained, emodb_made_up, tmp_path):
    done = across(command, trained, emodb_made_up, tmp_path / "across.json")
    assert done.code == 0, done.err
    figures = json.loads((tmp_path / "across.json").read_text())
    names = {path.stem: path for path in emodb_made_up.glob("*.flac")}
    bored = sum(name[5] == "L" for name in names)
    assert figures["emotions"] == list(SHARED)
    assert figures["left_out"] == {"bored": bored}
    assert figures["clips"] == len(names) - bored == np.sum(figures["confusion_matrix"])
    assert figures["never_predicted"] == ["calm", "surprised"]
    assert figures["digest"] == json.loads((trained / "result.json").read_text())["digest"]
    for line in (
        f"left out, because the network does not know them: {bored} bored",
        "never predicted, because the corpus has none: calm, surprised",
        "predictions are taken over the 6 emotions that network and corpus have in common",
        f"accuracy {100 * figures['metrics']['accuracy']:.1f} %  UAR {100 * figures['metrics']['uar']:.1f} %",
    ):
        assert line in done.out

    # Recompute the metrics from the output of ser-predict for the same files.
    words = [str(emodb_made_up), "--model", f"{trained}/checkpoints/best.ckpt", "--output", f"{tmp_path}/p.csv"]
    assert command("predict", *words).code == 0
    word = {"N": "neutral", "F": "happy", "T": "sad", "W": "angry", "A": "fearful", "E": "disgust", "L": "bored"}
    rows = [
        (word[Path(row["path"]).stem[5]], max(SHARED, key=lambda emotion, row=row: float(row[emotion])))
        for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())
    ]
    target, prediction = zip(*[row for row in rows if row[0] in SHARED], strict=True)
    assert confusion_matrix(target, prediction, labels=SHARED).tolist() == figures["confusion_matrix"]
    assert figures["metrics"]["uar"] == pytest.approx(recall_score(target, prediction, average="macro"))
    again = across(command, trained, emodb_made_up, tmp_path / "again.json")
    assert again.code == 0
    assert json.loads((tmp_path / "again.json").read_text()) == figures


def test_label_merge_applies_to_cross_corpus_evaluation(command, trained, emodb_made_up, tmp_path):
    done = across(command, trained, emodb_made_up, tmp_path / "m.json", "corpus.merge={bored: calm}", "checkpoint=last")
    assert done.code == 0, done.err
    figures = json.loads((tmp_path / "m.json").read_text())
    assert figures["left_out"] == {}
    assert figures["emotions"] == list(RAVDESS[:7])
    assert figures["checkpoint"] == "last"
    assert figures["config"]["corpus"]["merge"] == {"bored": "calm"}


def test_cross_corpus_config_uses_the_downmix_of_the_other_corpus(trained):
    path = trained / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(path)
    for corpus, way in (("emovo", "right"), ("emodb", "mean")):
        config = config_of(checkpoint, path, [], corpora=[corpus])
        assert config["audio"]["downmix"] == config["corpus"]["downmix"] == way
        assert config["corpus"]["name"] == corpus
    for names in (["emovo", "emodb"], ["emovo,emodb"]):
        config = config_of(checkpoint, path, ["corpus.parts.emovo.root=2023_01_05"], corpora=names)
        assert config["audio"]["downmix"] == config["corpus"]["downmix"] == {"emovo": "right", "emodb": "mean"}
        assert config["corpus"]["parts"]["emovo"]["root"] == "2023_01_05"
    assert config_of(checkpoint, path, ["audio.downmix=mean"], corpora=["emovo"])["audio"]["downmix"] == "mean"


@pytest.mark.parametrize(
    ("corpora", "changes", "message"),
    [
        (["synthetic_small"], [], "was trained on Synthetic: .* leave out --corpus to evaluate on its own test clips"),
        (["emodb", "synthetic_small"], [], "was trained on Synthetic"),
        (
            ["emodb"],
            ["corpus.root={root}", "split=random"],
            "split=random: on another corpus the run is evaluated on all clips",
        ),
        (
            ["emodb"],
            ["corpus.root={root}", "split.seed=3"],
            "split.seed=3: on another corpus the run is evaluated on all clips",
        ),
        (["emdob"], [], "--corpus emdob: no such option; .* the nearest valid name is 'emodb'"),
        (["emodb,pooled"], [], "--corpus pooled: no such option"),
        (["emodb", "emodb"], [], "names emodb twice"),
        (["emodb"], ["corpus.root=/no/such"], "/no/such: no such folder; to get the corpus"),
        (
            ["emodb"],
            [
                "corpus.root={root}",
                "corpus.merge={{neutral: bored, happy: bored, sad: bored, angry: bored, disgust: bored}}",
            ],
            "knows neutral, calm, .*, and emodb has fearful, bored; expected at least two emotions in common",
        ),
    ],
)
def test_invalid_cross_corpus_options_are_refused(refused, trained, emodb_made_up, corpora, changes, message):
    words = [word for name in corpora for word in ("--corpus", name)]
    changes = settings(*(change.format(root=emodb_made_up) for change in changes))
    line = refused("evaluate", str(trained), *words, *changes)
    assert re.search(message, line), line


# ---------------------------------------------------------------------- real


@pytest.mark.real
@pytest.mark.slow
def test_speaker_split_of_pooled_emodb_and_emovo_has_no_leaks(succeed, emodb_root, emovo_root, tmp_path):
    words = [f"corpus.parts.emodb.root={emodb_root}", f"corpus.parts.emovo.root={emovo_root}", "split=speaker"]
    succeed(
        "audit", "corpus=pooled", "corpus/parts=[emodb,emovo]", *words, "split.folds=8", f"output={tmp_path}/audit.json"
    )
    content = json.loads((tmp_path / "audit.json").read_text())
    assert sum(content["counts"].values()) == 535 + 588
    near = {f["name"]: f for f in content["findings"]}["near duplicates within a subset"]
    assert near["examples"][0] == ["emovo/tri-f3-n1", "emovo/tri-f3-n2"]  # one recording under two names


def test_long_lists_of_problems_are_written_to_a_file(command, tmp_path):
    """Only the first ten problems are printed, whatever is wrong with the table."""
    rows = [f"{number}.wav,happy,s{number}" for number in range(12)]
    (tmp_path / "my.csv").write_text("\n".join(["path,emotion,speaker", *rows]))
    words = ["corpus=table", f"corpus.path={tmp_path}/my.csv", "corpus.name=mine", "split=speaker"]
    done = command("prepare", *words, f"data_card={tmp_path}/cards")
    assert done.code == 1
    (line,) = done.err.strip().splitlines()
    assert f"12 x no such file (row 2, row 3, row 4, ...), the first: {tmp_path}/0.wav; " in line
    listed = (tmp_path / "cards/mine/refused.csv").read_text().splitlines()
    assert len(listed) == 1 + 12
    assert listed[12] == f"row 13,no such file: {tmp_path}/11.wav"
    assert "row 11 " in done.out
    assert "row 12 " not in done.out
    assert f"2 more; all of them: {tmp_path}/cards/mine/refused.csv" in done.out
    assert "2 more; data_card=<folder> writes" in command("prepare", *words, "data_card=null").out
