"""Launchers of other packages."""

import pytest
from tests.cli.test_sweep import launch, one_by_one, results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected(small, tmp_path_factory) -> list[dict]:
    """Metrics of the run without a launcher."""
    root = tmp_path_factory.mktemp("here")
    one_by_one(small, root, "model.hidden=4", seeds=[0])
    return list(results(root).values())


@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_other_launchers_give_the_same_results(small, expected, tmp_path, monkeypatch, launcher):
    """submitit's local executor stands in for its SLURM executor; Ray is started on this machine."""
    pytest.importorskip("submitit" if launcher == "submitit_local" else "ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default, its jobs hardly run while other tests do
    extra = [] if launcher == "submitit_local" else ["+hydra.launcher.ray.init.num_cpus=2"]
    root = tmp_path / launcher
    done = launch(small, root, f"hydra/launcher={launcher}", "model.hidden=0,4", *extra)
    assert done.returncode == 1, done.stderr
    assert list(results(root)) == ["model.hidden-4/dropout-p25/seed-0"]
    assert "1 of 2 jobs failed" in done.stderr, done.stderr
    assert not list((root / "sweep").glob("model.hidden-0/*")), "a refused run leaves nothing, nor does its launcher"
    assert list(results(root).values()) == expected
