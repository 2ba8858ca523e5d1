"""What comes of dirty audio: tests/zoo.py makes it and says what shall come."""

from pathlib import Path

import pytest

from tests import zoo

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"


def disagreements(specimens, outcomes, expected) -> list[tuple[str, str, str]]:
    """Name, what shall come of it, what came."""
    wrong = []
    for specimen in specimens:
        shall, came = expected(specimen), outcomes.get(specimen.name, "neither used nor refused")
        if came != shall if zoo.USED in (came, shall) else shall not in came:
            wrong.append((specimen.name, shall, came))
    return wrong


def test_predict_goes_on_with_the_good_lists_the_bad_and_ends_with_3(tmp_path, trained):
    ended, outcomes = zoo.meet_predict(tmp_path, trained / "checkpoints" / "best.ckpt")
    specimens = [*zoo.CONTENTS, *zoo.NAMES]
    assert len(specimens) >= 40
    assert disagreements(specimens, outcomes, lambda s: s.predict) == []
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err
    assert ended.peak < 2 * 2**30  # the headers claim up to 256 GiB


def test_prepare_ends_with_a_table_of_what_it_refused(tmp_path):
    ended, outcomes = zoo.meet_prepare(tmp_path)
    specimens = [*zoo.CONTENTS, *zoo.NAMES]
    assert disagreements(specimens, outcomes, lambda s: s.predict if s.prepare is None else s.prepare) == []
    assert ended.code == 0, ended.err
    assert ended.out.index("refused and left out: ") > ended.out.index("store: ")
    assert ended.out.rstrip().endswith("\u2518")  # the corner of the table
    assert ended.peak < 2 * 2**30


def test_archives_are_unpacked_whole_or_not_at_all(tmp_path):
    outcomes = zoo.meet_extract(tmp_path)
    assert disagreements(zoo.ARCHIVES, outcomes, lambda s: s.predict) == []
    unpacked = {name.removesuffix(".zip") for name, outcome in outcomes.items() if outcome == zoo.USED}
    assert {path.name for path in tmp_path.iterdir()} == unpacked
    assert not list(tmp_path.parent.rglob("escaped.wav"))
    assert not Path("/tmp/escaped.wav").exists()  # noqa: S108


@pytest.mark.parametrize("specimens", [zoo.CONTENTS, zoo.NAMES, zoo.ARCHIVES], ids=["contents", "names", "archives"])
def test_the_table_in_the_docs_is_of_this_zoo(specimens):
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    for specimen in specimens:
        (line,) = [line for line in lines if f"| {specimen.what} |" in line]
        refused = [specimen.predict != zoo.USED, (specimen.prepare or specimen.predict) != zoo.USED]
        assert line.count("refused: ") == sum(refused[: line.count(" | ") - 1]), line
