"""Growth detection of ``make soak``."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from studies.soak import Sample, descendants, grown, sample, table

STEADY = Sample(runs=0, processes=5, memory=900.0, descriptors=50, threads=10, disk=2000.0, files=13, folders=1)


@pytest.mark.parametrize("what", ["memory", "descriptors", "threads", "disk", "files", "folders"])
def test_growing_resource_is_named(what):
    steady = [replace(STEADY, runs=n, memory=900.0 + n % 3, descriptors=50 + n % 2) for n in range(1, 41)]
    assert grown(steady) == []
    leaking = [replace(one, **{what: getattr(one, what) * (1 + one.runs / 10)}) for one in steady]
    (line,) = grown(leaking)
    assert line.startswith(f"{what} ")
    assert len(table(leaking).splitlines()) in range(10, 15)


def test_sample_measures_runs_disk_and_process(tmp_path: Path):
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / "result.json").write_text("x" * 1024)
    (tmp_path / "a" / "checkpoints" / "last.ckpt").write_text("x" * 2048)
    (tmp_path / "b").mkdir()
    one = sample(os.getpid(), tmp_path)
    assert (one.runs, one.disk, one.files, one.folders) == (1, 3.0, 2, 1)
    assert one.memory > 10
    assert one.threads >= 1
    assert one.descriptors >= 3
    assert os.getpid() in descendants(os.getpid())
