"""``ser-audit`` and the ``audit`` section of a run's result."""

import json
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

from ser_lightning.corpora.synthetic import Synthetic
from ser_lightning.data.datamodule import SpeechDataModule

PAIR = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
OTHER_TAKE = "other take in training"


@pytest.fixture
def clips(synthetic_root) -> list[Path]:
    """Clips of two synthetic actors, one take each."""
    corpus = Synthetic(root=synthetic_root, speakers=2, repetitions=1, workers=2, downmix="mean", merge=None)
    found = sorted(utterance.path for utterance in corpus.scan().utterances)
    assert len(found) == 60
    return found


@pytest.fixture
def folder(clips, tmp_path) -> Path:
    """An incomplete RAVDESS folder without duplicates: one take of each utterance."""
    for clip in clips:
        (tmp_path / "corpus" / clip.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "corpus" / clip.parent.name)
    return tmp_path / "corpus"


def words(folder: Path, *more: str) -> list[str]:
    return ["corpus=ravdess", f"corpus.root={folder}", "split=random", f"output={folder.parent}/audit.json", *more]


def findings(path: Path) -> dict[str, dict]:
    return {finding["name"]: finding for finding in json.loads(path.read_text())["findings"]}


def test_normalization_by_speaker_needs_speakers(refused, clips, tmp_path):
    rows = "".join(f"{clip},{'happy' if number % 2 else 'sad'}\n" for number, clip in enumerate(clips))
    (tmp_path / "table.csv").write_text(f"path,emotion\n{rows}")
    corpus = ("corpus=table", f"corpus.path={tmp_path}/table.csv")
    assert "data.normalize" in refused("audit", *corpus, "split=random", "data.normalize=speaker")


def test_clean_split_exits_with_0(succeed, folder):
    done = succeed("audit", *words(folder))
    assert done.out.splitlines()[-2:] == ["no leak found", f"{folder.parent}/audit.json"]
    found = {name for name, finding in findings(folder.parent / "audit.json").items() if finding["found"]}
    assert found == {
        "same speaker, emotion and intensity in training",
        "same speaker in training",
        "same statement in training",
    }
    content = json.loads((folder.parent / "audit.json").read_text())
    assert (content["leak"], content["summary"], content["not_compared"]) == (False, "no leak found", [])
    assert content["counts"] == {"train": 36, "val": 9, "test": 15}
    assert content["split"]["seed"] == 42
    # The command writes no feature cache and no run folder.
    assert {path.name for path in folder.parent.iterdir()} == {"corpus", "audit.json"}


def test_other_takes_exit_with_4(command, clips, folder):
    for clip in clips[:30]:  # the other actor's audio serves as a second recording
        other = clips[clips.index(clip) + 30]
        shutil.copy(other, folder / clip.parent.name / clip.name.replace("-01-01.flac", "-02-01.flac"))
    shutil.rmtree(folder / "Actor_02")  # its audio is used above
    done = command("audit", *words(folder))
    assert done.code == 4, done.err
    summary = done.out.splitlines()[-2]
    assert summary.startswith("leaks: ")
    finding = findings(folder.parent / "audit.json")[OTHER_TAKE]
    assert finding["counts"]["test"]["of"] == 15
    assert finding["sentence"] in summary
    assert json.loads((folder.parent / "audit.json").read_text())["leak"]
    for one, other in finding["examples"]:
        assert one != other
        assert (one[:14], one[-2:]) == (other[:14], other[-2:])  # all but the repetition


def test_duplicated_folder_is_reported_and_audited(command, folder):
    shutil.copytree(folder, folder / "again")
    done = command("audit", *words(folder))
    assert done.code == 4, done.err
    assert "corpus error: 60 of 120 audio files in the corpus folder are copies of another and left out" in done.out
    assert "no leak found" in done.out
    finding = findings(folder.parent / "audit.json")["copies in the corpus folder"]
    assert finding["counts"] == {"folder": {"count": 60, "of": 120}}
    assert finding["examples"][0][0].startswith(str(folder / "again"))


@pytest.mark.parametrize(("gain", "kind"), [(1, "identical audio"), (0.5, "near duplicates")])
def test_same_recording_in_two_files_is_found(command, folder, gain, kind):
    """The files differ in their bytes, because the corpus scan already finds identical files."""
    one, other = (folder / "Actor_01" / f"03-01-0{emotion}-01-01-01-01.flac" for emotion in (2, 5))
    wave, rate = soundfile.read(one, dtype="float64")
    other.unlink()
    soundfile.write(other.with_suffix(".wav"), gain * wave, rate, subtype="PCM_24")
    done = command("audit", *words(folder, "split.seed=3"))  # which puts the two in different subsets
    across = findings(folder.parent / "audit.json")[f"{kind} across subsets"]
    assert across["found"]
    assert done.code == 4
    assert {*across["examples"][0]} == {one.stem, other.stem}
    assert kind.split()[0] in done.out.splitlines()[-2]


def test_unreadable_clips_exit_with_3(command, folder):
    bad = next(folder.rglob("*.flac"))
    bad.write_text("no sound")
    done = command("audit", *words(folder))
    assert done.code == 3
    assert [line for line in done.err.splitlines() if "not compared" in line and str(bad) in line]
    content = json.loads((folder.parent / "audit.json").read_text())
    assert [path for path, _ in content["not_compared"]] == [str(bad)]


def test_excluded_files_are_listed(succeed, folder):
    (folder / "song.wav").write_text("no sound")
    done = succeed("audit", *words(folder))
    assert "song.wav" in done.out
    assert "and 1361 more" in done.out  # the clips missing from the incomplete corpus


def test_checkpoint_selection_on_test_is_found(command, folder):
    done = command("audit", *words(folder, "monitor=test/uar"))
    assert done.code == 4
    assert done.out.splitlines()[-2] == "leaks: the checkpoint is chosen on test, by test/uar (best)"


def test_running_statistics_of_evaluated_clips_are_found(command, folder):
    done = command("audit", *words(folder, "evaluation.update_statistics=true"))
    assert done.code == 4
    summary = done.out.splitlines()[-2]
    assert summary.startswith("leaks: the running statistics of BatchNorm")


def test_synthetic_corpus_can_be_audited(succeed, small):
    done = succeed("audit", *[word for word in small if not word.startswith(("trainer", "data.batch"))])
    assert "synthetic: 36/9/15 utterances" in done.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["corpus.root=/no/such/folder"], "/no/such/folder: no such folder; to get the corpus"),
        (["split=released"], "names utterances that the corpus lacks"),
    ],
)
def test_bad_input_gives_a_one_line_error(refused, folder, more, message):
    line = refused("audit", *words(folder), *more)
    assert line.startswith("ser-audit: ")
    assert message in line
    assert not (folder.parent / "audit.json").exists()


def test_folder_without_readable_clips_is_refused(command, folder):
    for number, clip in enumerate(sorted(folder.rglob("*.flac"))):
        clip.write_text(f"no sound {number}")
    done = command("audit", *words(folder))
    assert done.code == 1
    assert "no clip of ravdess can be read" in done.err.splitlines()[-1]


# ---------------------------------------------------------------------- runs


def test_result_contains_the_audit(trained):
    result = json.loads((trained / "result.json").read_text())
    assert result["seconds"]["audit"] > 0
    section = result["audit"]
    assert (section["leak"], section["summary"]) == (False, "no leak found")
    by_name = {finding["name"]: finding for finding in section["findings"]}
    assert {"unknown speakers", "unknown statements"} <= by_name.keys()
    assert by_name["augmented copies elsewhere"]["counts"]["train"] == {"count": 0, "of": 144}
    normalizer = by_name["normalizer fitted outside training"]
    assert normalizer["sentence"] == "the network standardizes by statistics of the training rows"
    assert by_name["checkpoint chosen on test"]["sentence"] == "the checkpoint is chosen by val/uar"


def leaking(succeed, small, tmp_path, monkeypatch, **changes) -> tuple[dict, str]:
    for name, change in changes.items():
        monkeypatch.setattr(SpeechDataModule, name, change)
    done = succeed("train", "experiment=corrected", *small, "trainer.max_epochs=1", f"output_root={tmp_path}")
    path = tmp_path / "corrected" / "dropout-p25" / "seed-0" / "result.json"
    return json.loads(path.read_text())["audit"], done.err


def test_run_reports_a_normalizer_fitted_on_test(succeed, small, tmp_path, monkeypatch):
    def statistics(self):
        train, test = self.datasets["train"].statistics(), self.datasets["test"].statistics()
        return (train[0] + test[0]) / 2, torch.maximum(train[1], test[1])

    section, err = leaking(succeed, small, tmp_path, monkeypatch, training_statistics=statistics)
    message = "leaks: the network standardizes by statistics other than those of the training rows"
    assert section["summary"] == message
    assert err.splitlines()[-1] == message


def test_run_reports_training_on_a_test_clip(succeed, small, tmp_path, monkeypatch):
    setup = SpeechDataModule.setup

    def spoiled(self, stage=None):
        fresh = not self.datasets
        setup(self, stage)
        if fresh:  # store the frames of a test clip under the name of a training clip
            train, test = self.datasets["train"], self.datasets["test"]
            train.offsets[5], train.lengths[5] = test.offsets[0], test.lengths[0]

    section, err = leaking(succeed, small, tmp_path, monkeypatch, setup=spoiled)
    assert section["leak"]
    assert "1 of 144 train rows are, or were made of, a clip of another subset" in section["summary"]
    assert section["summary"] in err


def test_rerun_of_a_finished_run_repeats_its_leak_warning(command, trained, small, tmp_path):
    shutil.copytree(trained, tmp_path / "corrected" / "dropout-p25" / "seed-0")
    path = tmp_path / "corrected" / "dropout-p25" / "seed-0" / "result.json"
    result = json.loads(path.read_text())
    words = ["experiment=corrected", *small, f"output_root={tmp_path}"]
    assert "leak" not in command("train", *words).err
    result["audit"] |= {"leak": True, "summary": "leaks: 3 of 15 test clips have their other take in training"}
    path.write_text(json.dumps(result))
    assert result["audit"]["summary"] in command("train", *words).err
    del result["audit"]  # as in a run made before the audit existed
    path.write_text(json.dumps(result))
    assert command("train", *words).code == 0


# ---------------------------------------------------------------------- real


@pytest.mark.real
@pytest.mark.slow
def test_released_split_leaks(command, ravdess_root, tmp_path):
    done = command("audit", "split=released", f"corpus.root={ravdess_root}", f"output={tmp_path}/audit.json")
    assert done.code == 4
    assert done.out.splitlines()[-2] == (
        "leaks: 232 of 360 test and 134 of 216 val clips have their other take in training"
    )
    found = findings(tmp_path / "audit.json")
    assert found[OTHER_TAKE]["counts"]["test"] == {"count": 232, "of": 360}
    act = found["same speaker, emotion and intensity in training"]
    assert act["counts"]["test"] == {"count": 343, "of": 360}
    pair = found["identical audio within a subset"]
    assert [finding["count"] for finding in pair["counts"].values()] == [0, 0, 2]
    assert pair["counts"]["train"] == {"count": 2, "of": 864}
    assert tuple(pair["examples"][0]) == PAIR
    # No two takes are reported as copies.
    for name in ("identical audio across subsets", "near duplicates across subsets", "near duplicates within a subset"):
        assert not found[name]["found"]
    assert not found["copies in the corpus folder"]["found"]
