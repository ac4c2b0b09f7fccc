"""VAE/GAN: who is trained by what, against automatic differentiation of each part alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodels.utils.seeds import torch_generator
from worldmodels.vision.config import VisionConfig
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.losses.gan import AdversarialModule, Discriminator
from worldmodels.vision.network import ConvVAE


@pytest.fixture
def module() -> AdversarialModule:
    torch.manual_seed(0)
    network = {"_target_": "worldmodels.vision.network.ConvVAE", "latent_size": 4}
    loss = {"_target_": "gan", "gamma": 0.25}
    config = VisionConfig(network=network, loss=loss, kl_floor=0.0, epochs=1, batch_size=2)
    return AdversarialModule(ConvVAE(4), config, TrainingContext(seed=0), channels_last=False)


def frames(batch: int) -> Tensor:
    return torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(batch))


def gradients(loss: Tensor, *parts: nn.Module) -> list[Tensor]:
    wanted = [parameter for part in parts for parameter in part.parameters()]
    return list(torch.autograd.grad(loss, wanted, retain_graph=True))


def without_optimizer(module: AdversarialModule) -> None:
    """Leave the gradients of a step as they are."""

    class Optimizer:
        def step(self) -> None: ...

    module.optimizers = Optimizer  # type: ignore[method-assign]
    module.manual_backward = lambda loss, **named: loss.backward(**named)  # type: ignore[method-assign]
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]


@pytest.mark.parametrize("batch", [1, 3])
def test_each_part_follows_its_own_loss(module: AdversarialModule, batch: int) -> None:
    """Algorithm 1, a pass for each part, with binary cross-entropy written out."""
    without_optimizer(module)
    module.eval()  # or each pass changes the estimate of the weights' norms
    module.training_step(frames(batch), 0)
    taken = {name: parameter.grad for name, parameter in module.named_parameters()}

    network, judge = module.network, module.discriminator
    generator = torch_generator(0, "vision", 0, 0)
    noise, prior = (torch.randn(batch, 4, generator=generator) for _ in range(2))
    x = frames(batch).permute(0, 3, 1, 2) / 255
    reconstruction, (mu, log_var) = network(x, noise)
    sample = network.decode(prior)
    error = 4.5 * (judge(reconstruction).features - judge(x).features).square().sum(1).mean()
    error = error + (reconstruction - x).square().sum((1, 2, 3)).mean()
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean()

    def entropy(image: Tensor, real: float) -> Tensor:
        logits = judge(image).logits
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))

    fool = entropy(reconstruction, 1.0) + entropy(sample, 1.0)
    tell = entropy(x, 1.0) + entropy(reconstruction.detach(), 0.0) + entropy(sample.detach(), 0.0)
    expected = [
        *gradients(error + kl, network.encoder, network.bottleneck),
        *gradients(0.25 * error + fool, network.decoder),
        *gradients(tell, judge),
    ]
    assert len(taken) == len(expected)
    for (name, got), wanted in zip(taken.items(), expected, strict=True):
        assert got is not None
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max().item(), msg=name)


def test_a_judgement_does_not_depend_on_the_batch_and_is_in_float32() -> None:
    torch.manual_seed(0)
    judge, images = Discriminator().eval(), torch.rand(3, 3, 64, 64)
    together = judge(images)
    for i in range(3):
        alone = judge(images[i : i + 1])
        torch.testing.assert_close(alone.logits, together.logits[i : i + 1])
        torch.testing.assert_close(alone.features, together.features[i : i + 1], rtol=1e-3, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        low = judge(images)
    assert low.logits.dtype == low.features.dtype == torch.float32
    torch.testing.assert_close(low.logits, together.logits, rtol=0.1, atol=0.1)


def test_one_optimizer_holds_v_and_the_discriminator_each_at_its_own_rate(module: AdversarialModule) -> None:
    groups = module.configure_optimizers().param_groups
    assert [group["lr"] for group in groups] == [1e-3, 2e-4]
    held = [{id(parameter) for parameter in group["params"]} for group in groups]
    assert held == [{id(p) for p in part.parameters()} for part in (module.network, module.discriminator)]


def test_the_discriminator_rests_while_it_is_ahead(module: AdversarialModule) -> None:
    """Its gradient is then none at all, rather than that of the step before."""
    without_optimizer(module)
    for limit, rests in ((0.0, False), (100.0, True)):
        module.RESTS_BELOW = limit
        module.training_step(frames(2), 0)
        assert all((parameter.grad is None) == rests for parameter in module.discriminator.parameters())
        assert all(parameter.grad is not None for parameter in module.network.parameters())


def test_gradients_lie_in_memory_as_their_parameters_do(module: AdversarialModule) -> None:
    """A fused optimizer goes through both by address."""
    module = AdversarialModule(module.network, module.config, TrainingContext(seed=0), channels_last=True)
    without_optimizer(module)
    module.RESTS_BELOW = 0.0
    with torch.autocast("cpu", torch.bfloat16):
        module.training_step(frames(2), 0)
    assert any(not parameter.is_contiguous() for parameter in module.parameters())
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.stride() == parameter.stride(), name
