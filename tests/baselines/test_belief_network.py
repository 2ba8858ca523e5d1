import pytest
import torch

from ser_lightning.baselines.belief_network import fine_tune, pretrain, top_layer
from ser_lightning.errors import InputError

CLASSES = 3


def drawn(rows: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    """Return standardized rows scattered around one center per class, and their classes."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(rows) % CLASSES
    centers = torch.randn(CLASSES, 6, generator=generator, dtype=torch.float64)
    x = centers[targets] + 0.3 * torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return (x - x.mean(0)) / x.std(0), targets


def pretrained(x: torch.Tensor, **change):
    values = {"hidden": [5, 4], "epochs": 30, "batch": 10, "rates": [0.01, 0.1]} | change
    return pretrain(x, **values, generator=torch.Generator().manual_seed(0))


def made_up_again(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Reconstruct the rows from the hidden units of a restricted Boltzmann machine by least squares."""
    hidden = torch.cat([top_layer(x, [(weight, bias)]), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    return hidden @ torch.linalg.lstsq(hidden, x).solution


def test_top_layer_stacks_pretrained_layers():
    x, _ = drawn()
    layers = pretrained(x)
    assert [tuple(weight.shape) for weight, _ in layers] == [(5, 6), (4, 5)]
    assert [tuple(bias.shape) for _, bias in layers] == [(5,), (4,)]
    (w1, b1), (w2, b2) = layers
    by_hand = torch.sigmoid(torch.sigmoid(x @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(top_layer(x, layers), by_hand)


def test_first_layer_does_not_depend_on_later_layers():
    x, _ = drawn()
    one, two = pretrained(x, hidden=[5]), pretrained(x, hidden=[5, 4])
    assert torch.equal(one[0][0], two[0][0])


def test_longer_pretraining_improves_reconstruction():
    x, _ = drawn()
    kept = []
    for epochs in (1, 200):
        ((weight, bias),) = pretrained(x, hidden=[2], epochs=epochs)  # fewer units than dimensions
        kept.append((x - made_up_again(x, weight, bias)).square().mean())
        start = pretrained(x, hidden=[2], epochs=0)[0][0]
        assert start.abs().max() < 0.05 < weight.abs().max() + 0.05
    assert kept[1] < 0.9 * kept[0]


def test_contrastive_divergence_step_matches_manual_computation():
    """Train for one epoch with a single batch, and draw the same numbers with a generator of the same seed."""
    x, _ = drawn(12)
    for gaussian, of in ((True, 0), (False, 1)):
        layers = pretrained(x, epochs=1, batch=12)
        generator = torch.Generator().manual_seed(0)
        seen, weight = x, torch.empty(0)
        for layer in range(of + 1):
            units, visible = (5, 6) if layer == 0 else (4, 5)
            weight = 0.01 * torch.randn(units, visible, generator=generator, dtype=torch.float64)
            rows = torch.randperm(12, generator=generator)
            noise = torch.rand(12, units, generator=generator, dtype=torch.float64)
            if layer < of:
                seen = top_layer(seen, layers[:1])
        seen = seen[rows]
        on = torch.sigmoid(seen @ weight.T)
        made_up = (noise < on).double() @ weight
        made_up = made_up if gaussian else made_up.sigmoid()
        then = torch.sigmoid(made_up @ weight.T)
        rate = [0.01, 0.1][of]
        expected = weight + rate * (on[:, :, None] * seen[:, None] - then[:, :, None] * made_up[:, None]).mean(0)
        torch.testing.assert_close(layers[of][0], expected)
        torch.testing.assert_close(layers[of][1], rate * (on - then).mean(0))


def test_diverging_pretraining_raises_input_error():
    x, _ = drawn()
    with pytest.raises(InputError, match=r"machine 1 of the belief network diverged; lower model\.pretrain_lr"):
        pretrained(x, rates=[1e200, 0.1])


def loss(x: torch.Tensor, targets: torch.Tensor, layers) -> float:
    """Return the loss of the best softmax classifier on the top layer."""
    hidden = torch.cat([top_layer(x, layers), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    weight = torch.zeros(CLASSES, hidden.size(1), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=50)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(hidden @ weight.T, targets) + 1e-3 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    return closure().item()


def test_longer_fine_tuning_lowers_classification_loss():
    x, targets = drawn()
    layers = pretrained(x, epochs=2)
    losses = [loss(x, targets, fine_tune(x, targets, layers, classes=CLASSES, steps=s)) for s in (0, 3, 60)]
    assert losses[0] > losses[1] > losses[2]


def test_fine_tuning_does_not_modify_pretrained_layers():
    x, targets = drawn()
    layers = pretrained(x)
    assert fine_tune(x, targets, layers, classes=CLASSES, steps=0) is layers
    before = [tensor.clone() for layer in layers for tensor in layer]
    fine_tune(x, targets, layers, classes=CLASSES, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(before, [t for layer in layers for t in layer], strict=True))


def test_fine_tuning_works_under_no_grad():
    x, targets = drawn()
    layers = pretrained(x)
    with torch.no_grad():
        quiet = fine_tune(x, targets, layers, classes=CLASSES, steps=3)
    loud = fine_tune(x, targets, layers, classes=CLASSES, steps=3)
    assert all(torch.equal(a, b) for one, two in zip(quiet, loud, strict=True) for a, b in zip(one, two, strict=True))
    assert not any(tensor.requires_grad for layer in quiet for tensor in layer)
