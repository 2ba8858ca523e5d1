"""Training targets with the probabilities of a finished run (``data.teacher``)."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_lightning.augment.mixup import Mixup
from ser_lightning.checkpoint import KEY, load_plain
from ser_lightning.corpora.utterance import Utterance
from ser_lightning.data.batch import FeatureDataset
from ser_lightning.data.batch_augmentation import AugmentedBatches
from ser_lightning.data.resident import ResidentDataset
from ser_lightning.data.sampler import BatchSampler
from ser_lightning.distillation import Teacher, read_teacher, soft_targets
from ser_lightning.errors import InputError
from ser_lightning.results import science_digest, with_checkpoint_digest
from ser_lightning.splits.split import Split
from ser_lightning.splits.training_audit import TeacherClips, audit_teacher
from tests.configs import composed
from tests.conftest import run_command


def test_soft_targets_by_hand():
    logits = torch.tensor([[2 * math.log(3), 0.0], [0.0, 2 * math.log(9)]])  # temperature 2: odds of 3 and 9
    found = soft_targets(logits, torch.tensor([0, 0]), share=0.4, temperature=2.0)
    torch.testing.assert_close(found, torch.tensor([[0.4 * 0.75 + 0.6, 0.4 * 0.25], [0.4 * 0.1 + 0.6, 0.4 * 0.9]]))
    colder = soft_targets(logits, torch.tensor([0, 0]), share=0.4, temperature=1.0)
    torch.testing.assert_close(colder[0], torch.tensor([0.4 * 0.9 + 0.6, 0.4 * 0.1]))


@pytest.fixture
def dataset() -> FeatureDataset:
    generator = np.random.default_rng(0)
    dataset = FeatureDataset(
        frames=generator.standard_normal((12, 2)).astype(np.float32),
        offsets=np.arange(0, 12, 3),
        lengths=np.full(4, 3),
        targets=np.array([0, 1, 2, 1]),
        utterances=list("abcd"),
    )
    dataset.shares = torch.from_numpy(generator.dirichlet(np.ones(3), 4)).float()
    return dataset


def test_mixup_mixes_soft_targets(dataset):
    sampler = BatchSampler(lengths=[3] * 4, batch_size=4, shuffle=False, reshuffle=False, bucket=False, seed=0)
    augment, rows = Mixup(alpha=1.0), [2, 0, 3, 1]
    batches = AugmentedBatches(dataset=dataset, source=dataset, sampler=sampler, augment=augment, seed=0, classes=3)
    mixed = batches.__getitems__(rows)
    drawn = augment.draw(np.full(4, 3), rows=2, generator=np.random.default_rng([0, 0, *rows]))
    own, share = dataset.shares[rows], drawn.shares[0]
    torch.testing.assert_close(mixed.shares, share * own + (1 - share) * own[torch.from_numpy(drawn.partners)])
    assert torch.equal(mixed.row, torch.tensor(rows))


def test_soft_targets_follow_the_clips_to_the_device(dataset):
    resident = ResidentDataset(dataset, device=torch.device("cpu"))
    for one, two in zip(resident.__getitems__([3, 0]), dataset.__getitems__([3, 0]), strict=True):
        assert torch.equal(one, two)


def test_batches_are_augmented_on_the_device(dataset):
    sampler = BatchSampler(lengths=[3] * 4, batch_size=4, shuffle=False, reshuffle=False, bucket=False, seed=0)
    sources = (dataset, ResidentDataset(dataset, device=torch.device("cpu")))
    batches = [
        AugmentedBatches(dataset=dataset, source=source, sampler=sampler, augment=Mixup(alpha=1.0), seed=0, classes=3)
        for source in sources
    ]
    for one, two in zip(*(each.__getitems__([3, 0, 1]) for each in batches), strict=True):
        assert torch.equal(one, two)


SPEAKERS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}
BY_SPEAKER = Split(train=("a1", "a2"), val=("b1", "b2"), test=("c1", "c2"))
BY_CLIP = Split(train=("a1", "b1", "c1"), val=("a2",), test=("b2", "c2"))


@pytest.mark.parametrize(
    ("split", "trained", "chosen", "test", "val"),
    [
        (BY_SPEAKER, ["a1", "a2"], ["b1", "b2"], [], []),  # the same split
        (BY_SPEAKER, ["a1", "c3"], [], ["c1", "c2"], []),  # another clip of the test speaker
        (BY_SPEAKER, ["a1"], ["c2"], ["c1", "c2"], []),  # a test clip chose the checkpoint
        (BY_SPEAKER, ["a1", "b1"], ["b1"], [], ["b1", "b2"]),  # a refit was trained on its validation clips
        (BY_CLIP, ["a1", "b1", "c1"], ["a2"], [], []),  # speakers are shared by the protocol, clips are not
        (BY_CLIP, ["a1", "b2"], [], ["b2"], []),
    ],
)
def test_audit_finds_clips_and_held_out_speakers(split, trained, chosen, test, val):
    clips = TeacherClips(trained=trained, chosen=chosen, speakers=SPEAKERS | {"c3": "c"})
    finding = audit_teacher("t", clips, split=split, speakers=SPEAKERS)
    assert finding.counts == {"test": (len(test), len(split.test)), "val": (len(val), len(split.val))}
    assert [pair[0] for pair in finding.examples] == [*test, *val]
    assert finding.found == bool(test or val)


def test_unknown_speakers_match_nobody():
    clips = TeacherClips(trained=["x"], chosen=[], speakers={"x": None})
    assert not audit_teacher("t", clips, split=BY_SPEAKER, speakers=dict.fromkeys(SPEAKERS)).found


@pytest.fixture(scope="module")
def teacher(small, tmp_path_factory) -> Path:
    """Folder of a logistic regression on the training clips of ``small``."""
    root = tmp_path_factory.mktemp("teacher")
    words = ["experiment=logistic", "features=functionals", "augment=none", "model.c=[0.1]", f"output_root={root}"]
    given = [word for word in small if not word.startswith("trainer.max_epochs")]
    assert run_command("train", *words, *given)[0] == 0
    (path,) = root.rglob("result.json")
    return path.parent


def student(small: list[str], teacher: Path, root: Path, *words: str) -> list[str]:
    return ["experiment=corrected", *small, f"data.teacher={teacher}", f"output_root={root}", *words]


def result_of(root: Path) -> dict:
    (path,) = root.glob("corrected/*/*/result.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def distilled(small, teacher, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("distilled")
    assert run_command("train", *student(small, teacher, root))[0] == 0
    return root


@pytest.mark.slow
def test_teacher_changes_training_and_is_named(distilled, trained, teacher):
    result, alone = result_of(distilled), json.loads((trained / "result.json").read_text())
    assert result["history"]["train/loss"] != alone["history"]["train/loss"]
    assert alone["teacher"] is None
    facts, of_teacher = result["teacher"], json.loads((teacher / "result.json").read_text())
    assert facts["run"] == f"{of_teacher['name']}/{of_teacher['run_id']}"
    assert (facts["model"], facts["share"], facts["temperature"]) == ("logistic", 0.5, 2.0)
    assert facts["sha256"] == result["config"]["data"]["teacher_sha256"]
    (finding,) = [one for one in result["audit"]["findings"] if one["name"] == "clips seen by the teacher"]
    assert finding["found"] is False
    assert {subset: count["count"] for subset, count in finding["counts"].items()} == {"test": 0, "val": 0}
    (card,) = distilled.rglob("MODEL_CARD.md")
    assert facts["run"] in card.read_text()
    assert all(count["of"] == result["counts"][subset] for subset, count in finding["counts"].items())


def test_share_of_zero_equals_no_teacher(small_with_logs, teacher, trained, tmp_path):
    assert run_command("train", *student(small_with_logs, teacher, tmp_path, "data.teacher_share=0"))[0] == 0
    result, alone = result_of(tmp_path), json.loads((trained / "result.json").read_text())
    for key in ("metrics", "history", "confusion_matrix", "calibration"):
        assert result[key] == alone[key]


def test_evaluation_needs_no_teacher(command, distilled, teacher, tmp_path):
    run = next(distilled.glob("corrected/*/*"))
    moved = tmp_path / "moved"
    shutil.move(teacher, moved)
    try:
        assert command("evaluate", str(run)).code == 0
    finally:
        shutil.move(moved, teacher)


def config_of(teacher: Path, *, share: object = 0.5, temperature: object = 2.0) -> dict:
    config = composed()
    config["data"] |= {"teacher": str(teacher), "teacher_share": share, "teacher_temperature": temperature}
    return with_checkpoint_digest(config)


def test_digest_depends_on_the_teacher_and_not_on_its_path(teacher, tmp_path):
    shutil.copytree(teacher, tmp_path / "copy")
    same, moved = science_digest(config_of(teacher)), science_digest(config_of(tmp_path / "copy"))
    assert same == moved
    others = [config_of(teacher, share=0.7), config_of(teacher, temperature=3.0), composed()]
    assert len({same, *map(science_digest, others)}) == 4


def test_same_logits_from_cache_and_after_its_loss(small, teacher, distilled, tmp_path):
    """The logits are those of the teacher, whatever the state of the cache file."""
    found = read_teacher(config_of(teacher))
    config = json.loads(next(distilled.glob("corrected/*/*/result.json")).read_text())["config"]
    (cached,) = Path(config["data"]["feature_cache"]).glob("teacher-*.npy")
    before = np.load(cached)
    clips = clips_of(config)
    cached.write_bytes(cached.read_bytes()[:100])  # damaged
    np.testing.assert_array_equal(found.logits(clips, config=config), before)
    np.testing.assert_array_equal(np.load(cached), before)
    emotions = [found.checkpoint.emotions[best] for best in before.argmax(1)]
    assert np.mean([one == clip.emotion for one, clip in zip(emotions, clips, strict=True)]) > 0.5


def clips_of(config: dict) -> list[Utterance]:
    from ser_lightning.assemble import assemble_preparation

    preparation = assemble_preparation(config, progress=lambda results, _: results)
    preparation.scan()
    return [utterance for utterance in preparation.utterances if utterance.id in preparation.split.train]


def edit_result(folder: Path, change) -> None:
    result = json.loads((folder / "result.json").read_text())
    change(result)
    (folder / "result.json").write_text(json.dumps(result))


def edit_checkpoint(folder: Path, change) -> None:
    path = folder / "checkpoints" / "best.ckpt"
    raw = load_plain(path)
    change(raw[KEY])
    torch.save(raw, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "no result": (lambda run: (run / "result.json").unlink(), "no finished run"),
    "cut result": (lambda run: cut(run / "result.json"), "cannot be read"),
    "result without an audit": (lambda run: edit_result(run, lambda result: result.pop("audit")), "damaged"),
    "no checkpoint": (lambda run: (run / "checkpoints" / "best.ckpt").unlink(), r"best\.ckpt"),
    "cut checkpoint": (lambda run: cut(run / "checkpoints" / "best.ckpt"), r"best\.ckpt"),
    "no split": (lambda run: (run / "split.csv").unlink(), r"split\.csv"),
    "cut split": (lambda run: cut(run / "split.csv"), r"split\.csv"),
    "leak": (lambda run: edit_result(run, lambda result: result["audit"].update(leak=True)), "leak"),
    "transductive": (
        lambda run: edit_checkpoint(run, lambda own: own["config"]["data"].update(normalize="speaker")),
        "transductive",
    ),
    "other weights": (lambda run: edit_checkpoint(run, lambda own: own["config"].update(init_from="x")), "init_from"),
    "own teacher": (
        lambda run: edit_checkpoint(run, lambda own: own["config"]["data"].update(teacher="x")),
        "another run",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_teacher_is_refused(teacher, tmp_path, name):
    damage, named = BAD[name]
    run = tmp_path / "run"
    shutil.copytree(teacher, run)
    assert isinstance(read_teacher(config_of(run)), Teacher)
    damage(run)
    with pytest.raises(InputError, match=named) as error:
        read_teacher(config_of(run))
    assert str(run) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [{"share": -0.1}, {"share": 1.1}, {"share": "x"}, {"share": True}]
    + [{"temperature": value} for value in (0, -1, math.inf, math.nan, None)],
)
def test_values_out_of_range_are_refused(teacher, values):
    (key,) = values
    with pytest.raises(InputError, match=rf"data\.teacher_{key}"):
        read_teacher(config_of(teacher, **values))


def test_digest_is_required_if_given(teacher):
    config = config_of(teacher)
    config["data"]["teacher_sha256"] = "0"
    with pytest.raises(InputError, match="requires 0"):
        with_checkpoint_digest(config)
    config["data"]["teacher"] = None
    with pytest.raises(InputError, match=r"without data\.teacher"):
        with_checkpoint_digest(config)


def test_run_whose_test_clips_shaped_the_teacher_is_refused(command, small, teacher, tmp_path):
    done = command("train", *student(small, teacher, tmp_path, "split.seed=1"))
    assert done.code == 1
    result = json.loads((teacher / "result.json").read_text())
    assert f"of {result['counts']['test']} test" in done.err
    assert "same split and fold" in done.err
    assert not list(tmp_path.rglob("split.csv"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["corpus.merge={calm: neutral}"], "same emotions"),
        (["data.augment_first=true"], "augment_first"),
        (["experiment=logistic"], "choose a network"),
    ],
)
def test_student_that_cannot_have_the_teacher_is_refused(command, small, teacher, tmp_path, words, named):
    done = command("train", *student(small, teacher, tmp_path, *words))
    assert done.code == 1
    assert named in done.err


@pytest.mark.slow
def test_resumed_run_is_equal(small, teacher, distilled, tmp_path):
    from ser_lightning.task import EmotionTask
    from tests.cli.test_resume import stop

    words = student(small, teacher, tmp_path)
    stop(words, EmotionTask, "training_step", lambda task, *_: task.current_epoch == 1)
    assert run_command("train", *words)[0] == 0
    one, two = result_of(tmp_path), result_of(distilled)
    assert {key: one[key] for key in ("metrics", "history", "teacher")} == {
        key: two[key] for key in ("metrics", "history", "teacher")
    }


@pytest.mark.slow
def test_refit_has_probabilities_for_validation_clips_too(small, teacher, tmp_path):
    assert run_command("train", *student(small, teacher, tmp_path, "split.refit=true"))[0] == 0
    result = result_of(tmp_path)
    assert result["refit"]["clips"] == result["counts"]["train"]
    assert result["teacher"]["share"] == 0.5
    assert (result["audit"]["leak"], result["counts"]["val"]) == (False, 0)
