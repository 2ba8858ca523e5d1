"""Handling of invalid and unusual audio files; tests/zoo.py defines the files and the expected outcomes."""

from pathlib import Path

import pytest

from tests import zoo

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"


def disagreements(specimens, outcomes, expected) -> list[tuple[str, str, str]]:
    """Return (name, expected outcome, actual outcome) of every specimen with an unexpected outcome."""
    wrong = []
    for specimen in specimens:
        shall, came = expected(specimen), outcomes.get(specimen.name, "neither used nor refused")
        if came != shall if zoo.USED in (came, shall) else shall not in came:
            wrong.append((specimen.name, shall, came))
    return wrong


@pytest.mark.slow
def test_predict_skips_and_lists_bad_files_with_exit_code_3(tmp_path, trained):
    ended, outcomes = zoo.meet_predict(tmp_path, trained / "checkpoints" / "best.ckpt")
    specimens = [*zoo.CONTENTS, *zoo.NAMES]
    assert disagreements(specimens, outcomes, lambda s: s.predict) == []
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err
    assert ended.peak < 2 * 2**30  # the headers claim up to 256 GiB


@pytest.mark.slow
def test_prepare_prints_a_table_of_refused_files(tmp_path):
    ended, outcomes = zoo.meet_prepare(tmp_path)
    specimens = [*zoo.CONTENTS, *zoo.NAMES]
    assert disagreements(specimens, outcomes, lambda s: s.predict if s.prepare is None else s.prepare) == []
    assert ended.code == 0, ended.err
    assert ended.out.index("refused and left out: ") > ended.out.index("feature cache: ")
    assert "\u2518" in ended.out[ended.out.index("refused and left out: ") :]  # the bottom right corner of the table
    assert ended.peak < 2 * 2**30


@pytest.mark.parametrize("specimens", [zoo.CONTENTS, zoo.NAMES], ids=["contents", "names"])
def test_table_in_docs_matches_the_specimens(specimens):
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    for specimen in specimens:
        (line,) = [line for line in lines if f"| {specimen.what} |" in line]
        refused = [specimen.predict != zoo.USED, (specimen.prepare or specimen.predict) != zoo.USED]
        assert line.count("refused: ") == sum(refused[: line.count(" | ") - 1]), line
