"""Normalization and dropout against a plain network of PyTorch's modules, and the laws of packing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from reference import ACTIVATIONS, mean_loss, targets_as
from small import cells, stored_rows, train
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from study.autograd_step import AutogradStep, population_moments, step_of
from study.cell import Cell
from study.datasets import Split, batches, split
from study.dropout import Masks
from study.network import Shape, start
from study.pack_data import PackData
from study.probe import INDEX
from study.randomness import stream
from study.step import Step
from study.training import PackResult, build, shape_of

# a dozen steps, as in test_training; a normalization divides by deviations down to a tenth of what it
# gets, and so makes roundings some ten times as large
RELATIVE = {"float64": 1e-10, "float32": 1e-3}
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23}
# float64 sums of some thousand terms, through four layers and back
OF_PROBE = 1e-9

OPTIM = {"name": "momentum", "lr": 0.05, "momentum": 0.8, "weight_decay": 0.1, "clip_norm": 1.5}

KINDS: dict[str, dict[str, Any]] = {
    "batch": {"norm": "batch"},
    "layer": {"norm": "layer"},
    "dropout": {"dropout": 0.4},
    "batch and dropout": {"norm": "batch", "dropout": 0.3},
    "layer and dropout": {"norm": "layer", "dropout": 0.3},
}


class PlainNetwork(nn.Module):
    """One network of PyTorch's own modules, with masks in the place of nn.Dropout's drawn ones."""

    def __init__(self, settings: dict[str, Any], shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        units = [*[shape.width] * (shape.depth - 1), shape.outputs]
        fans = zip([shape.inputs, *units], units, strict=False)
        self.linears = nn.ModuleList(nn.Linear(*fan, bias=settings["bias"]) for fan in fans)
        for linear, (weight, bias) in zip(self.linears, start(settings, shape), strict=True):
            linear.weight.data = torch.from_numpy(weight)
            if settings["bias"]:
                linear.bias.data = torch.from_numpy(bias)
        # with a momentum of 0 a training step leaves the moments that were set
        batch_norm = partial(nn.BatchNorm1d, momentum=0.0)
        makers = {"none": nn.Identity, "batch": batch_norm, "layer": nn.LayerNorm}
        maker = makers[settings.get("norm", "none")]
        self.norms = nn.ModuleList(maker(count) for count in units[:-1])
        self.share = settings.get("dropout", 0.0)
        self.to(getattr(torch, settings["dtype"]))

    def forward(self, x: Tensor, step: int | None = None, seen: list | None = None) -> Tensor:
        """Return the outputs; of a step with its masks; each layer's z goes into ``seen``."""
        phi = ACTIVATIONS[self.settings["activation"]["name"]]
        if step is not None and self.share:
            shape = (len(self.norms), *x.shape[:1], self.settings["width"])
            drawn = stream(self.settings["seed"], f"dropout/{step}").random(shape, dtype=np.float32)
            keep = torch.from_numpy(drawn >= self.share)
        for index, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=False)):
            z = norm(linear(x))
            if seen is not None:
                seen.append(z)
            x = phi(z)
            if step is not None and self.share:
                x = torch.where(keep[index], x / (1 - self.share), 0.0)
        outputs = self.linears[-1](x)
        if seen is not None:
            seen.append(outputs)
        return outputs

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Give every nn.BatchNorm1d the moments of a sample under the present weights."""
        for linear, norm in zip(self.linears, self.norms, strict=False):
            a = linear(x)
            if isinstance(norm, nn.BatchNorm1d):
                norm.running_mean, norm.running_var = a.mean(0), a.var(0, unbiased=False)
            norm.eval()
            x = ACTIVATIONS[self.settings["activation"]["name"]](norm(a))
            norm.train()

    @torch.no_grad()
    def loss_and_score(self, part: Split, trained: torch.dtype) -> list[float]:
        self.eval()
        dtype = self.linears[0].weight.dtype
        outputs = self(torch.from_numpy(part.inputs).to(trained).to(dtype))
        self.train()
        labels = targets_as(part.labels, trained)
        if labels.is_floating_point():
            loss = float(mean_loss(outputs, labels.to(dtype)))
            return [loss, 1 - loss / float(np.var(part.labels))]
        return [
            float(mean_loss(outputs, labels)),
            float((outputs.argmax(1) == labels).double().mean()),
        ]


def twin_of(network: PlainNetwork) -> PlainNetwork:
    settings = {**network.settings, "dtype": "float64"}
    shapes = [linear.weight.shape for linear in network.linears]
    shape = Shape(shapes[0][1], settings["width"], shapes[-1][0], len(shapes), settings["bias"])
    twin = PlainNetwork(settings, shape)
    twin.load_state_dict(network.state_dict())
    return twin.double()


def measured(twin: PlainNetwork, batch: tuple[Tensor, Tensor], step: int, probe: Tensor) -> list:
    """Return what the probe measures of every layer, from its definition."""
    signals: list[Tensor] = []
    loss = mean_loss(twin(batch[0], step, signals), batch[1])
    for z in signals:
        z.retain_grad()
    loss.backward()
    seen: list[Tensor] = []
    twin.eval()
    with torch.no_grad():
        twin(probe, seen=seen)
    rows = []
    for index, (linear, z) in enumerate(zip(twin.linears, seen, strict=True)):
        signal = signals[index].grad * len(batch[0])  # type: ignore[operator]
        row = {
            "weight_grad_norm": float(linear.weight.grad.norm()),
            "signal_grad_rms": float(signal.square().mean().sqrt()),
            "signal_collapse": float(signal.mean(0).square().sum() / signal.square().sum(1).mean()),
            "z_mean": float(z.mean()),
            "z_second_moment": float(z.square().mean()),
            "z_collapse": float(z.mean(0).square().sum() / z.square().sum(1).mean()),
            "weight_norm": float(linear.weight.detach().norm()),
        }
        if index < len(seen) - 1:
            row["active_share"] = float((z > 0).double().mean())
            if twin.settings["activation"]["name"] == "relu":
                row["dead_units"] = int((z <= 0).all(0).sum())
        rows.append(row)
    return rows


def hold_against_modules(result: PackResult, position: int) -> None:
    """Hold one network of a pack against PyTorch's modules: training, evaluation and the float64 probe."""
    settings = result.cells[position].settings
    relative = RELATIVE[settings["dtype"]]
    data = split(settings["data"], settings["seed"], settings["probe"]["samples"])
    network = PlainNetwork(settings, shape_of(settings))
    dtype = network.linears[0].weight.dtype
    weights = [linear.weight for linear in network.linears]
    others = [p for p in network.parameters() if all(p is not w for w in weights)]
    optim = settings["optim"]
    optimizer = torch.optim.SGD(
        [{"params": weights, "weight_decay": optim["weight_decay"]}, {"params": others}],
        lr=optim["lr"], momentum=optim["momentum"],
    )  # fmt: skip
    inputs = torch.from_numpy(data.train.inputs).to(dtype)
    labels = targets_as(data.train.labels, dtype)
    probe = torch.from_numpy(data.probe.inputs).to(dtype)
    order = batches(settings["seed"], len(labels), settings["batch_size"], settings["steps"])
    for step in range(settings["steps"] + 1):
        batch = inputs[order[step]], labels[order[step]]
        if step in result.probe_steps:
            row = result.probe_steps.index(step)
            twin = twin_of(network)
            targets = batch[1].double() if batch[1].is_floating_point() else batch[1]
            twin.calibrate(probe.double())
            network.calibrate(probe)
            expected = twin.loss_and_score(data.probe, dtype)
            expected += network.loss_and_score(data.test_part, dtype)
            np.testing.assert_allclose(
                result.probed[row, :, position], expected, rtol=relative, atol=relative
            )
            bound = OF_PROBE if step == 0 else relative
            for layer, found in enumerate(
                measured(twin, (batch[0].double(), targets), step, probe.double())
            ):
                for name, value in found.items():
                    got = result.layers[row, layer, INDEX[name], position]
                    assert got == pytest.approx(value, rel=bound, abs=bound), (name, layer, step)
        loss = mean_loss(network(batch[0], step), batch[1])
        np.testing.assert_allclose(
            result.batch_loss[step, position], float(loss.detach()), rtol=relative
        )
        if step == settings["steps"]:
            break
        optimizer.zero_grad()
        loss.backward()
        # PyTorch's clip_grad_norm_ adds 1e-6 to the norm
        total = torch.cat([p.grad.flatten().double() for p in network.parameters()]).norm()
        for parameter in network.parameters():
            parameter.grad *= min(1.0, optim["clip_norm"] / float(total))
        optimizer.step()
    assert result.final is not None
    final = [
        value
        for part in (data.train, data.validation, data.test)
        for value in network.loss_and_score(part, dtype)
    ]
    np.testing.assert_allclose(result.final[:, position], final, rtol=relative, atol=relative)


def pack_of(**more: Any) -> list[Cell]:
    """Return cells that start differently, so that they must not share a moment or a mask."""
    shape = {"width": 9, "steps": 12, "probe": {"steps": 5, "samples": 150}, "seeds": 2}
    shape |= {"batch_size": 24, "optim": OPTIM, "activation": "tanh"}
    return [
        cell
        for init in ("torch_default", "orthogonal")
        for cell in cells(**{"init": init, **shape, **more})
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_packed_cell_trains_and_is_measured_as_pytorchs_modules_would_alone(
    kind: str, dtype: str
) -> None:
    result = train(pack_of(dtype=dtype, **KINDS[kind]))
    for position in range(len(result.cells)):
        hold_against_modules(result, position)


@pytest.mark.parametrize(
    "more", [{"activation": "relu"}, {"bias": False}, {"data": "diabetes"}, {"depth": 1}],
    ids=["relu", "no biases", "regression", "one layer"],
)  # fmt: skip
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_so_do_other_networks_with_both(more: dict[str, Any], norm: str) -> None:
    result = train(pack_of(dtype="float64", norm=norm, dropout=0.2, **more))
    for position in range(len(result.cells)):
        hold_against_modules(result, position)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("activation", ["tanh", "prelu", "sine"])
def test_a_cells_numbers_do_not_depend_on_its_neighbours(kind: str, activation: str) -> None:
    shape = {"width": 16, "seeds": 2, "activation": activation, **KINDS[kind]}
    healthy = cells(init="he_normal", **shape)
    wild = cells(init={"name": "normal", "std": 1e30}, **shape)
    tame = cells(init="xavier_normal", **shape)
    rows = [stored_rows(train(healthy + others), healthy) for others in (wild, tame)]
    assert rows[0] == rows[1]
    alone = train(healthy[1:]).batch_loss[:, 0]
    packed = train(tame + healthy).batch_loss[:, -1]
    # float32, seven steps: another number of cells may round the same sums in another order
    np.testing.assert_allclose(alone, packed, rtol=1e-5)


def test_normalized_pre_activations_of_the_probe_set_are_centred_and_of_variance_one() -> None:
    # the law of its definition: γ = 1 and β = 0 at the start; ε takes less than 1e-5 / variance off
    for norm in ("batch", "layer"):
        result = train(pack_of(norm=norm, steps=0, dtype="float64"))
        hidden = result.layers[0, :-1]
        np.testing.assert_allclose(hidden[:, INDEX["z_mean"]], 0.0, atol=1e-12)
        np.testing.assert_allclose(hidden[:, INDEX["z_second_moment"]], 1.0, rtol=1e-3)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_normalized_network_does_not_feel_the_size_of_its_hidden_weights(norm: str) -> None:
    # outputs are those of c·W, and ∂L/∂W 1/c of it, up to ε by the variance of Wx, which is above 100 here
    pack = pack_of(norm=norm, dtype="float64", bias=False)
    network, _ = build(pack, shape_of(pack[0].settings))
    data = PackData(
        pack[0].settings, [c.settings["seed"] for c in pack], torch.float64, torch.device("cpu")
    )
    found = []
    for size in (100.0, 10.0):  # 100 times as large, then 1000 times
        with torch.no_grad():
            for layer in list(network.each_layer())[:-1]:
                layer.linear.weight *= size
        losses = AutogradStep(network)(*data.batch(0))
        gradients = [layer.linear.weight.grad.clone() for layer in network.each_layer()]  # type: ignore[union-attr]
        found.append((losses, gradients))
    (losses, gradients), (larger_losses, larger) = found
    torch.testing.assert_close(larger_losses, losses, rtol=1e-6, atol=0.0)
    for one, other in zip(gradients[:-1], larger[:-1], strict=True):
        torch.testing.assert_close(10 * other, one, rtol=1e-4, atol=1e-8 * float(one.abs().max()))


def test_gain_and_offset_are_trained_and_not_decayed() -> None:
    optim = {"name": "sgd", "lr": 0.0, "weight_decay": 0.5}
    network, _ = build(pack_of(norm="layer"), shape_of(pack_of()[0].settings))
    decayed, kept = network.parameter_groups(optim["weight_decay"])
    gains = [p for layer in network.each_layer() if layer.norm for p in layer.norm.parameters()]
    assert len(gains) == 6
    assert all(any(p is one for one in kept["params"]) for p in gains)
    assert kept["weight_decay"] == 0.0
    assert len(decayed["params"]) == 4
    plain = cells(width=9)[0].settings
    [counted, *_] = train(pack_of(norm="batch", steps=0)).parameters
    assert counted == train(pack_of(steps=0)).parameters[0] + 2 * 9 * (plain["depth"] - 1)


def test_networks_without_either_are_trained_by_hand() -> None:
    shape = shape_of(pack_of()[0].settings)
    network, _ = build(pack_of(), shape)
    assert isinstance(step_of(network, 8), Step)
    assert population_moments(network, iter([])) == [None] * 4
    normalized, _ = build(pack_of(norm="batch"), shape)
    assert isinstance(step_of(normalized, 8), AutogradStep)


def test_masks_are_of_seed_and_step_and_drop_their_share() -> None:
    shape, cpu = (3, 200, 50), torch.device("cpu")
    some = Masks([4, 9, 4], 0.3, shape, cpu)
    some.draw(7)
    kept = some.keep.clone()
    assert torch.equal(kept[:, 0], kept[:, 2])
    assert not torch.equal(kept[:, 0], kept[:, 1])
    other = Masks([9], 0.3, shape, cpu)
    other.draw(3)
    assert not torch.equal(other.keep[:, 0], kept[:, 1])
    other.draw(7)
    assert torch.equal(other.keep[:, 0], kept[:, 1])
    deeper = Masks([9], 0.3, (5, *shape[1:]), cpu)
    deeper.draw(7)
    assert torch.equal(deeper.keep[:3, 0], kept[:, 1])
    # 30,000 draws a seed: five standard errors of a share of 0.7
    shares = kept.double().mean(dim=(0, 2, 3))
    assert (shares - 0.7).abs().max() < 5 * (0.3 * 0.7 / 30_000) ** 0.5
    h = torch.ones(3, 200, 50)
    dropped = other.apply(0, h[:1])
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("activation", ["relu", "prelu", "gelu"])
def test_a_recorded_step_gives_other_batches_and_masks_their_own_gradients(
    kind: str, activation: str
) -> None:
    # as in test_step: a trace that knows tensors only, as a CUDA graph does; NumPy's tanh is not in it
    pack = pack_of(activation=activation, **KINDS[kind])
    settings, seeds, cpu = pack[0].settings, [c.settings["seed"] for c in pack], torch.device("cpu")
    shape = shape_of(settings)
    network, _ = build(pack, shape)
    data = PackData(settings, seeds, torch.float32, cpu)
    share, hidden = settings.get("dropout", 0.0), (shape.depth - 1, 24, shape.width)
    masks = Masks(seeds, share, hidden, cpu) if share else None
    step = AutogradStep(network, masks)
    places, losses = data.order[0].clone(), torch.zeros(len(pack))

    def operations() -> None:
        losses.copy_(step(*data.train.at(places)))

    recorded = make_fx(operations)()
    for number in range(1, 4):
        places.copy_(data.order[number])
        if masks is not None:
            masks.draw(number)
        with torch.no_grad():
            recorded()
        got = losses.clone(), [p.grad.clone() for p in network.parameters()]  # type: ignore[union-attr]
        operations()
        assert torch.equal(got[0], losses)
        for gradient, parameter in zip(got[1], network.parameters(), strict=True):
            assert torch.equal(gradient, parameter.grad)  # type: ignore[arg-type]
