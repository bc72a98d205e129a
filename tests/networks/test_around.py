"""Networks without a bottleneck: any size, how far they see, and what they refuse."""

import math

import pytest
import torch

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model
from narrows.networks import Shallow, UNet
from narrows.noise import Noise
from narrows.presets import choose

GREY = Schema((1, 8, 8), 0.0, 255.0, 1.0)
NETWORKS = {
    "u-net": lambda: UNet(channels=4, stages=2),
    "u-net of one scale": lambda: UNet(channels=4, stages=0, blocks=2),
    "deep u-net": lambda: UNet(channels=2, stages=3),
    "shallow": lambda: Shallow(channels=6, depth=4),
}


def built(name, shape=(1, 8, 8), outputs=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS[name]()
        network.build(shape, 0, 0, outputs * math.prod(shape[1:]))
    return network.double().eval()


def drawn(*shape, seed=0):
    return Noise(seed).normal(shape, rows=0).double()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 7), (16, 16)])
def test_images_of_any_size(name, size):
    network = built(name, outputs=3)
    assert network.map(drawn(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_learnt_of_one_strength_holds_of_all(name):
    """f(a x) = a f(x)."""
    network, x = built(name), drawn(2, 1, 10, 12)
    for scale in (0.01, 7.0):
        torch.testing.assert_close(network.map(scale * x), scale * network.map(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pixel_is_told_by_those_within_reach_and_no_others(name):
    """Farther ones have no gradient; and reach is no farther than it must be: some pixel sees as far."""
    network = built(name)
    side = 2 * network.reach + 3 * network.grain
    side += -side % network.grain
    farthest = 0
    for at in range(side // 2, side // 2 + network.grain):
        image = drawn(1, 1, side, side).requires_grad_()
        (gradient,) = torch.autograd.grad(network.map(image)[0, 0, at, at], image)
        rows = gradient[0, 0].abs().sum(1).nonzero()
        farthest = max(farthest, at - int(rows.min()), int(rows.max()) - at)
    assert farthest == network.reach


@pytest.mark.parametrize("name", NETWORKS)
def test_a_part_that_begins_at_a_square_is_told_as_within_the_whole(name):
    network = built(name)
    margin = network.reach + -network.reach % network.grain
    side = 2 * margin + 2 * network.grain
    image = drawn(1, 1, side + 2 * network.grain, side)
    part = image[:, :, network.grain : network.grain + side]
    whole = network.map(image)[:, :, network.grain : network.grain + side]
    inside = slice(margin, side - margin)
    torch.testing.assert_close(network.map(part)[:, :, inside, inside], whole[:, :, inside, inside])


def test_one_number_a_cell_is_the_difference_from_what_is_seen():
    network, x = built("shallow"), drawn(1, 1, 8, 8)
    with torch.no_grad():
        network.stack[-1].weight.zero_()
    assert torch.equal(network.map(x), x)
    assert not torch.equal(built("shallow", outputs=2).map(x)[:, :1], x)


@pytest.mark.parametrize("kind", ["u-net", "shallow"])
def test_refusals(kind):
    whole = {"network": kind, "latent": "whole"}
    with pytest.raises(InputError, match="takes images"):
        choose("autoencoder", Schema((6,), 0.0, 1.0), whole)
    with pytest.raises(InputError, match="take latent=whole"):
        choose("autoencoder", GREY, {"network": kind})
    with pytest.raises(InputError, match="take network=u-net"):
        choose("autoencoder", GREY, {"network": "mlp", "latent": "whole"})
    with pytest.raises(InputError, match="take network=u-net"):
        choose("compressor", GREY, {"latent": "whole"})
    with pytest.raises(InputError, match=r"network\.channels"):
        choose("autoencoder", GREY, {**whole, "network.channels": 0})


def test_the_code_is_all_that_is_seen_and_bounds_nothing():
    model = Model(choose("autoencoder", GREY, {"network": "u-net", "latent": "whole", "likelihood": "gaussian"}), GREY)
    seen = drawn(3, 1, 8, 8).float()
    assert model.latent.size == 64
    assert not model.latent.bounds
    assert torch.equal(model.latent.code(model.posterior(seen)), seen.flatten(1))
    torch.testing.assert_close(model.decode(seen.flatten(1)[None]).mean[0], model.network.map(seen))
