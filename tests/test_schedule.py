"""Learning rate schedules, compared with torch's schedulers and Keras's ReduceLROnPlateau."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ser_lightning.build import build
from ser_lightning.errors import InputError
from ser_lightning.scheduler import split_scheduler_config
from ser_lightning.train import train
from tests.configs import composed, configured, options

EPOCHS = 7


def run(succeed, small, root, *words: str) -> dict:
    words = [*small, "experiment=corrected", f"trainer.max_epochs={EPOCHS}", "optim=sgd", f"output_root={root}", *words]
    succeed("train", *words, "augment=none")
    return json.loads((root / "corrected" / "dropout-p25" / "seed-0" / "result.json").read_text())


def rates(scheduler, optimizer, figures) -> list[float]:
    """Return the learning rate of every epoch; ``figures`` are the monitored values, None without a monitor."""
    found = []
    for figure in figures:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([] if figure is None else [figure]))
    return found


def made(option: str, lr: float, **values):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    part, _ = split_scheduler_config(composed(f"scheduler={option}")["scheduler"])
    return build("scheduler", part | values)(optimizer), optimizer


@pytest.mark.slow
def test_cosine_restarts_match_torch(succeed, small_with_logs, tmp_path):
    result = run(succeed, small_with_logs, tmp_path, "scheduler=cosine_restarts", "scheduler.T_0=3")
    expected = rates(*made("cosine_restarts", 0.01, T_0=3), [None] * EPOCHS)
    assert result["history"]["train/learning_rate"] == expected
    assert expected[0] == expected[3] == expected[6] == 0.01
    assert expected[1] > expected[2] > 1e-5
    events = EventAccumulator(str(tmp_path / "corrected/dropout-p25/seed-0/tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/learning_rate")] == pytest.approx(expected)


def test_plateau_monitors_training_loss_like_torch(succeed, small, tmp_path):
    # No epoch improves by this threshold, so the rate is reduced whenever the patience is exceeded.
    result = run(succeed, small, tmp_path, "scheduler=plateau", "scheduler.threshold=0.2")
    losses = result["history"]["train/loss"]
    expected = rates(*made("plateau", 0.01, threshold=0.2), losses)
    assert result["history"]["train/learning_rate"] == expected
    assert 0.01 == expected[0] > expected[-1]


def keras(losses: list[float], lr: float) -> list[float]:
    """Reimplement Keras's ReduceLROnPlateau(factor=0.4, patience=2, min_lr=1e-7, min_delta=1e-4)."""
    found, best, waited = [], float("inf"), 0
    for loss in losses:
        found.append(lr)
        if loss < best - 1e-4:
            best, waited = loss, 0
        else:
            waited += 1
            if waited >= 2:
                lr, waited = max(0.4 * lr, 1e-7), 0
    return found


@pytest.mark.parametrize("seed", range(5))
def test_plateau_matches_keras(seed):
    generator = torch.Generator().manual_seed(seed)
    losses = [1 / (1 + n) + 0.3 * torch.rand((), generator=generator).item() for n in range(60)] + [0.5] * 40
    expected = keras(losses, 0.001)
    assert rates(*made("plateau", 0.001), losses) == pytest.approx(expected)
    assert expected[-1] == 1e-7


def test_learning_rate_is_constant_without_scheduler(trained):
    assert json.loads((trained / "result.json").read_text())["history"]["train/learning_rate"] == [0.001] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scheduler=plateau", "scheduler.monitor=train/los"], "the nearest valid name is 'train/loss'"),
        (["scheduler=plateau", "scheduler.monitor=null"], "scheduler.monitor is missing; ReduceLROnPlateau"),
        (["scheduler=plateau", "scheduler.factor=2"], "scheduler: Factor should be < 1.0."),
        (["scheduler=cosine_restarts", "scheduler.T_0=0"], "scheduler: Expected positive integer T_0"),
        (["+scheduler._target_=torch.optim.Adam"], "only classes of torch.optim.lr_scheduler.* and ser_lightning.*"),
        (["loss.label_smoothing=1"], "loss.label_smoothing is 1; expected at least 0 and less than 1"),
        (["loss.class_weights=1"], "loss.class_weights is 1; expected bool"),
    ],
)
def test_invalid_scheduler_or_loss_config_is_refused(small, tmp_path, words, message):
    config = configured(*small, *words, f"output_root={tmp_path}/out", f"folder={tmp_path}/out/x")
    with pytest.raises(InputError) as refused:
        train(config, choices={}, overrides=[])
    assert message in str(refused.value)
    assert list(tmp_path.glob("out/*")) == []


def test_scheduler_options():
    assert options("scheduler") == ["cosine_restarts", "none", "one_cycle", "plateau", "warmup_cosine"]
