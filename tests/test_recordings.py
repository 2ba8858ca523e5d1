"""Study of whole recordings and of refitted systems: every run of it can be composed."""

from pathlib import Path

import pytest
from studies.recordings import CLASSICAL, RECORDINGS, SWEEPS
from studies.sweeps import RESULTS

from tests.configs import composed

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
@pytest.mark.slow
def test_arms_differ_in_one_part(sweep):
    words = [word for word in sweep.overrides if not word.startswith("run_id=")]
    first, second = (composed(*words, "corpus=ravdess", "split.fold=0", f"{sweep.arm}={arm}") for arm in sweep.arms)
    part = sweep.arm.split(".")[0]
    assert first[part] != second[part]
    assert {key: value for key, value in first.items() if key != part} == {
        key: value for key, value in second.items() if key != part
    }
    assert sweep.on_request == (sweep.name.partition("_")[2] not in CLASSICAL)


def test_run_ids_name_arm_fold_and_seed():
    for sweep in SWEEPS:
        (run_id,) = [word for word in sweep.overrides if word.startswith("run_id=")]
        arm = "${hydra:runtime.choices.audio}" if sweep.arm == "audio" else "${split.refit}"
        assert all(part in run_id for part in (arm, "fold-${split.fold}", "seed-${seed}"))


@pytest.mark.slow
def test_published_page_matches_published_results(tmp_path):
    text = (DOCS / "recordings.md").read_text()
    command = text.split("Made by:\n\n```sh\n")[1].split("\n```")[0]
    assert RECORDINGS.write(DOCS / RESULTS / "recordings", tmp_path, command=command).read_text() == text
