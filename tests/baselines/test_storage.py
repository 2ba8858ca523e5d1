"""Tests of fitted pipelines in checkpoints: exact, reproducible, and safe to load from untrusted files."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import sklearn
import skops.io
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.baselines.test_baselines import CLASSES, COMMON, COUNTS, SIZE, VALUES, Clips, every, of_each_kind

from ser_lightning.baselines.archive import read_archive
from ser_lightning.baselines.dbn_svm import DBNSVM
from ser_lightning.baselines.gmm import GMM
from ser_lightning.baselines.logistic import Logistic
from ser_lightning.baselines.storage import CLASSES as CLASS_NAMES
from ser_lightning.baselines.storage import dump_pipeline, load_baseline
from ser_lightning.baselines.svm import SVM
from ser_lightning.errors import InputError


def recipe_of(cls: type, **change):
    return cls(**COMMON | VALUES[cls] | change)


def load(stored: object, recipe, **change):
    return load_baseline(stored, recipe, **{"features": SIZE, "classes": CLASSES, "path": "x.ckpt"} | change)


def to_tensor(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


@every
@of_each_kind
@pytest.mark.parametrize("frames", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_loaded_baseline_makes_identical_predictions(cls, counts, frames):
    clips, new = Clips(counts, frames=frames), Clips([7] * CLASSES, frames=frames, seed=1)
    model = clips.fit(cls)
    file = io.BytesIO()
    torch.save({"estimator": dump_pipeline(model.pipeline)}, file)
    file.seek(0)
    loaded = load(torch.load(file, weights_only=True)["estimator"], recipe_of(cls))
    assert torch.equal(new.predicted_by(loaded), new.predicted_by(model))
    assert loaded.chosen == model.chosen
    assert loaded.count_parameters() == model.count_parameters()
    assert torch.equal(dump_pipeline(loaded.pipeline), dump_pipeline(model.pipeline))


@every
def test_archive_is_read_as_by_skops(cls):
    data = dump_pipeline(Clips(COUNTS["even"]).fit(cls).pipeline).numpy().tobytes()
    trusted = [name for name in CLASS_NAMES if not name.startswith("sklearn.")]
    ours, theirs = read_archive(data, CLASS_NAMES), skops.io.loads(data, trusted=trusted)
    assert torch.equal(dump_pipeline(ours), dump_pipeline(theirs))


def test_loaded_gmm_of_frames_makes_identical_predictions():
    clips = Clips(COUNTS["even"], frames=5)
    model = clips.fit(GMM, of_frames=True)
    loaded = load(dump_pipeline(model.pipeline), recipe_of(GMM, of_frames=True))
    assert torch.equal(clips.predicted_by(loaded), clips.predicted_by(model))


@pytest.mark.slow
def test_stored_bytes_are_identical_between_processes():
    code = (
        "import hashlib; from tests.baselines.test_baselines import *; from ser_lightning.baselines.storage import *\n"
        "for cls in (SVM, GMM):\n"
        "    print(hashlib.sha256(dump_pipeline(Clips(COUNTS['even']).fit(cls).pipeline).numpy()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    here = (dump_pipeline(Clips(COUNTS["even"]).fit(cls).pipeline).numpy().tobytes() for cls in (SVM, GMM))
    assert there == [hashlib.sha256(data).hexdigest() for data in here]


class Payload:
    """Run a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


@pytest.fixture(scope="module")
def svm() -> bytes:
    return dump_pipeline(Clips(COUNTS["even"]).fit(SVM).pipeline).numpy().tobytes()


def rewritten(
    data: bytes, edit: Callable[[dict, dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED
) -> bytes:
    """Return the archive with its schema or members edited."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    edit(schema, members)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in {**members, "schema.json": json.dumps(schema).encode()}.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_archive_rewritten_without_edits_loads(svm):
    """Check that the failures below are caused by the edits and not by rewriting the archive."""
    assert load(to_tensor(rewritten(svm, lambda schema, members: None)), recipe_of(SVM)).chosen


def test_scikit_learn_version_mismatch_is_logged_once(svm, caplog):
    def edit(schema: dict, members: dict[str, bytes]) -> None:
        schema["content"] = json.loads(json.dumps(schema["content"]).replace(sklearn.__version__, "1.5.0"))

    assert load(to_tensor(rewritten(svm, edit)), recipe_of(SVM)).chosen
    (message,) = caplog.messages
    assert "x.ckpt" in message
    assert "1.5.0" in message


def steps_of(schema: dict) -> list[dict]:
    return schema["content"]["content"]["steps"]["content"]


def foreign(loader: str, module: str, name: str, **more) -> Callable[[dict, dict[str, bytes]], None]:
    """Return an edit that replaces the first step with an object of another type."""

    def edit(schema: dict, members: dict[str, bytes]) -> None:
        node = {"__loader__": loader, "__module__": module, "__class__": name, "__id__": 999999, **more}
        steps_of(schema)[0]["content"][1] = node

    return edit


EMPTY = {"__loader__": "TupleNode", "__module__": "builtins", "__class__": "tuple", "__id__": 999998, "content": []}
HOSTILE = {
    "os.system": foreign("FunctionNode", "os", "system", content={"module_path": "os", "function": "system"}),
    "posix.system": foreign("TypeNode", "posix", "system"),
    "builtins.eval": foreign("TypeNode", "builtins", "eval"),
    "subprocess.Popen": foreign("ObjectNode", "subprocess", "Popen", content=EMPTY),
    "operator.methodcaller": foreign("OperatorFuncNode", "operator", "methodcaller", attrs=EMPTY),
    "functools.partial": foreign("PartialNode", "functools", "partial", content=EMPTY),
    "builtins.function": foreign("MethodNode", "builtins", "function", content=EMPTY),
    "module with code": foreign("ObjectNode", "hostile_module", "Anything", content=EMPTY),
    "sklearn's own": foreign("ObjectNode", "sklearn.naive_bayes", "GaussianNB", content=EMPTY),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_untrusted_types_are_rejected_before_import(svm, edit, tmp_path, monkeypatch):
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"^x\.ckpt asks for .*nothing in it was executed") as refused:
        load(to_tensor(rewritten(svm, edit)), recipe_of(SVM))
    assert len(str(refused.value).splitlines()) == 1
    assert "hostile_module" not in sys.modules


def test_pickled_arrays_are_not_unpickled(svm, tmp_path):
    """With ``allow_pickle=True``, np.load would execute the payload."""
    mark = tmp_path / "executed"
    packed = io.BytesIO()
    np.save(packed, np.array([Payload(f"touch {mark}")], dtype=object), allow_pickle=True)

    def edit(schema: dict, members: dict[str, bytes]) -> None:
        for name in members:
            members[name] = packed.getvalue()

    with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
        load(to_tensor(rewritten(svm, edit)), recipe_of(SVM))
    assert not mark.exists()


def test_pickle_instead_of_archive_is_rejected(tmp_path):
    import pickle

    mark = tmp_path / "executed"
    with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
        load(to_tensor(pickle.dumps(Payload(f"touch {mark}"))), recipe_of(SVM))
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_truncated_archive_raises_one_line_error(svm, share):
    with pytest.raises(InputError, match=r"^x\.ckpt is damaged") as refused:
        load(to_tensor(svm[: max(1, int(share * len(svm)))]), recipe_of(SVM))
    assert len(str(refused.value).splitlines()) == 1


def test_archive_over_unpacked_size_limit_is_rejected(svm):
    def edit(schema: dict, members: dict[str, bytes]) -> None:
        members["zeros"] = bytes(10**7)

    with pytest.raises(InputError, match="unpacks to more"):
        load(to_tensor(rewritten(svm, edit, zipfile.ZIP_DEFLATED)), recipe_of(SVM))


@pytest.mark.parametrize(
    "stored",
    [None, "text", torch.zeros(9), torch.zeros(1, dtype=torch.uint8).expand(10**12)],
    ids=["none", "text", "floats", "huge"],
)
def test_stored_value_without_bytes_is_rejected(stored):
    with pytest.raises(InputError, match=r"x\.ckpt holds no fitted pipeline.*SVM"):
        load(stored, recipe_of(SVM))


@pytest.mark.parametrize(
    "recipe",
    [recipe_of(Logistic), recipe_of(DBNSVM), recipe_of(SVM, folds=4), recipe_of(SVM, c=[3])],
    ids=["logistic", "dbn", "folds", "c"],
)
def test_pipeline_not_matching_config_is_rejected(svm, recipe):
    with pytest.raises(InputError, match=r"^x\.ckpt holds another model than its config describes"):
        load(to_tensor(svm), recipe)


def test_pipeline_with_other_standardize_is_rejected(svm):
    with pytest.raises(InputError, match="another model"):
        load(to_tensor(svm), recipe_of(SVM, standardize=False))


def test_other_scikit_learn_estimators_are_rejected():
    x, y = np.eye(4), np.arange(4) % 2
    for estimator in (StandardScaler().fit(x), Pipeline([("f", FunctionTransformer())]).fit(x), GaussianNB().fit(x, y)):
        with pytest.raises(InputError, match=r"x\.ckpt (holds another model|asks for)"):
            load(to_tensor(skops.io.dumps(estimator)), recipe_of(SVM))


def test_mismatched_features_or_classes_are_rejected(svm):
    for change in ({"features": SIZE + 1}, {"classes": CLASSES - 1}):
        with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
            load(to_tensor(svm), recipe_of(SVM), **change)


MACHINE = {
    "support_vectors_": lambda a: a[:-1],
    "_n_support": lambda a: a * 1000,
    "_dual_coef_": lambda a: a[:, :1],
    "_intercept_": lambda a: a[:1],
    "support_": lambda a: a[:1],
    "_probA": lambda a: np.ones(3),
    "classes_": lambda a: a[:2],
}


@pytest.mark.parametrize("name", MACHINE)
def test_svm_with_inconsistent_arrays_is_rejected(name):
    """Otherwise libsvm would read beyond the ends of the arrays."""
    model = Clips(COUNTS["even"]).fit(SVM)
    machine = model.pipeline[-1].classifier_
    setattr(machine, name, MACHINE[name](getattr(machine, name)))
    with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
        load(dump_pipeline(model.pipeline), recipe_of(SVM))


def test_non_finite_coefficients_are_rejected():
    model = Clips(COUNTS["even"]).fit(Logistic)
    model.pipeline[-1].classifier_.coef_[:] = np.nan
    with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
        load(dump_pipeline(model.pipeline), recipe_of(Logistic))


def test_corrupted_array_byte_is_detected(svm):
    with zipfile.ZipFile(io.BytesIO(svm)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    spoilt = bytearray(svm)
    spoilt[largest.header_offset + largest.file_size // 2] ^= 0xFF
    with pytest.raises(InputError, match=r"^x\.ckpt is damaged.*Bad CRC"):
        load(to_tensor(bytes(spoilt)), recipe_of(SVM))
