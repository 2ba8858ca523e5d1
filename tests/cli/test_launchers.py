"""Launchers of other packages; a file of its own, because Ray's start takes minutes of waiting on a busy machine."""

import pytest
from tests.cli.test_sweep import launch, one_by_one, results


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_other_launchers_give_the_same_results(small, command, tmp_path, launcher):
    """submitit's local executor stands in for its SLURM executor; Ray is started on this machine."""
    pytest.importorskip("submitit" if launcher == "submitit_local" else "ray")
    extra = [] if launcher == "submitit_local" else ["+hydra.launcher.ray.init.num_cpus=2"]
    root = tmp_path / launcher
    done = launch(small, root, f"hydra/launcher={launcher}", "model.hidden=0,4", *extra)
    assert done.returncode == 1, done.stderr
    assert list(results(root)) == ["model.hidden-4/dropout-p25/seed-0"]
    assert "1 of 2 jobs failed" in done.stderr, done.stderr
    assert not list((root / "sweep").glob("model.hidden-0/*")), "a refused run leaves nothing, nor does its launcher"
    one_by_one(command, small, tmp_path / "here", "model.hidden=4", seeds=[0])
    assert list(results(root).values()) == list(results(tmp_path / "here").values())
