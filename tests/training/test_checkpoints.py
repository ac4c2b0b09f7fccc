"""V and M by ``load_from_checkpoint``: from a checkpoint of training, and from what a finished stage keeps."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import safetensors.torch
import torch
from small_training import (
    CPU,
    Interruption,
    Raise,
    make_memory,
    make_vision,
    memory_config,
    memory_store,
    train_memory,
    train_vision,
)

from worldmodels.config import Config
from worldmodels.memory.config import MemoryConfig
from worldmodels.memory.module import MemoryModule
from worldmodels.memory.network import MDNLSTM
from worldmodels.pipeline.stages import memory as memory_stage
from worldmodels.pipeline.stages import vision as vision_stage
from worldmodels.store.artifacts import CHECKPOINT, Artifact
from worldmodels.store.building import Store
from worldmodels.store.journal import Journal
from worldmodels.training.checkpoints import export
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.losses.gan import AdversarialModule
from worldmodels.vision.module import VisionModule
from worldmodels.vision.network import ConvVAE

__all__ = ["train_memory", "train_vision"]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
EVERY_STEP = dataclasses.replace(CPU, checkpoint_every_steps=1)
LOSSES = ["mse", {"_target_": "salient", "glimpse": 1.0}, "perceptual", "gan"]


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


class Keep(lightning.Callback):
    """Keeps the module that is trained."""

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.module = module


@pytest.mark.parametrize(("loss", "inverse"), [*((loss, 0.0) for loss in LOSSES), ("mse", 3.0)], ids=str)
@pytest.mark.parametrize("weights_only", [True, None])
def test_vs_checkpoint_gives_back_v_and_its_loss(
    train_vision: Callable[..., Journal], tmp_path: Path, loss: Any, inverse: float, weights_only: bool | None
) -> None:
    keep, network = Keep(), make_vision(kind=ConvVAE)
    train_vision(network, keep, loss=loss, inverse=inverse, kl_floor=0.25, batch_size=2, epochs=1)
    kind = AdversarialModule if loss == "gan" else VisionModule
    path = tmp_path / "run" / CHECKPOINT / "last.ckpt"
    module = kind.load_from_checkpoint(path, weights_only=weights_only)
    assert isinstance(module, kind) and same_state(module.network, network)
    assert module.hparams["config"]["kl_floor"] == 0.25 and module.config == keep.module.config
    frames = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    noise = torch.Generator().manual_seed(1)
    losses = [
        each.eval()._losses(frames.permute(0, 3, 1, 2) / 255, noise.manual_seed(1)).total
        for each in (module, keep.module)
    ]
    assert not inverse or same_state(module.inverse, keep.module.inverse)
    assert torch.equal(*losses), "with the salience, the features or the discriminator of the training"


def test_ms_checkpoint_gives_back_m(train_memory: Callable[..., Journal], tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        train_memory(make_memory(), Raise(Interruption(), 3), trainer=EVERY_STEP)
    path = tmp_path / "run" / CHECKPOINT / "last.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    module = MemoryModule.load_from_checkpoint(path, weights_only=True)
    assert module.config == memory_config() and module.persistence == 1.5
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    wide = MDNLSTM(latent_size=3, action_size=2, hidden_size=8, adapter_width=7)
    assert MemoryModule(wide, memory_config()).hparams["sizes"] == {
        "latent_size": 3,
        "action_size": 2,
        "adapter_width": 7,
    }


def test_modules_and_networks_work_with_their_defaults() -> None:
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    reconstruction, latent = VisionModule().eval()(frames)
    assert reconstruction.shape == (2, 3, 64, 64) and latent.mu.shape == (2, 32)
    network = ConvVAE().eval()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(network(x)[0], network.decode(network.encode(x).mu)), "without noise from μ"
    noise = torch.randn(2, 32)
    assert torch.equal(network(x, noise)[0], network.decode(network.encode(x).sample(noise)))
    module = MemoryModule(config=MemoryConfig(), sizes={"latent_size": 4, "action_size": 2})
    z, actions = torch.randn(2, 5, 4), torch.rand(2, 5, 2)
    whole = module(z, actions)
    assert whole.h.shape == (2, 5, 256) and whole.mixture.mu.shape == (2, 5, 4, 5)
    first = module.network(z[:, :2], actions[:, :2])
    second = module.network(z[:, 2:], actions[:, 2:], first.state)
    torch.testing.assert_close(torch.cat([first.h, second.h], dim=1), whole.h)
    torch.testing.assert_close(second.mixture.log_sigma, whole.mixture.log_sigma[:, 2:])


@pytest.mark.parametrize(
    "frames",
    [
        torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        torch.zeros(2, 64, 64, 3),
        torch.zeros(64, 64, 3, dtype=torch.uint8),
        torch.zeros(2, 32, 32, 3, dtype=torch.uint8),
        [0],
    ],
)
def test_other_frames_are_refused(frames):
    with pytest.raises(ConfigError, match=r"expected a tensor, torch\.uint8 \(B, 64, 64, 3\)"):
        VisionModule().eval()(frames)


@pytest.fixture
def dataset(frames_dataset: Callable[..., Path]) -> Path:
    return frames_dataset()


@pytest.fixture
def build_vision(compose: Callable[..., Config], dataset: Path, tmp_path: Path) -> Callable[..., Artifact]:
    """Builds V's artifact as the pipeline does."""

    def build(*overrides: str, root: str = "store") -> Artifact:
        config = compose("scale=smoke", "trainer=cpu", "trainer.precision=32-true", *overrides)

        def work(folder: Path) -> dict[str, Any]:
            return vision_stage.run(config, dataset, None, None, folder, Journal(folder, None, "vision"))

        inputs = vision_stage.STAGE.inputs(config)
        length = vision_stage.STAGE.length(config)
        return Store(tmp_path / root).build("vision", "v", inputs, {}, work, {"config": {}}, length=length)

    return build


def test_a_finished_v_is_loaded_from_its_folder_and_from_an_exported_file(
    build_vision: Callable[..., Artifact], tmp_path: Path
) -> None:
    artifact = build_vision("vae=foveal")
    assert not (artifact.path / CHECKPOINT).exists()
    module = VisionModule.load_from_checkpoint(artifact.path)
    assert type(module.network).__name__ == "FovealVAE" and module.config.loss["weight"] == 50
    export(artifact.path, tmp_path / "v.ckpt", VisionModule)
    again = VisionModule.load_from_checkpoint(tmp_path / "v.ckpt", weights_only=True)
    assert same_state(module, again)
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(module.eval()(frames)[0], again.eval()(frames)[0])
    weights = torch.load(tmp_path / "v.ckpt", weights_only=True)["state_dict"]
    kept = safetensors.torch.load_file(artifact.weights)
    assert all(torch.equal(value, weights[f"network.{name}"]) for name, value in kept.items())
    with pytest.raises(ConfigError, match="is no memory that tells its hyper-parameters: expected"):
        MemoryModule.load_from_checkpoint(artifact.path)
    with pytest.raises(ConfigError, match="holds no model: expected a checkpoint, a run's folder, or an artifact"):
        VisionModule.load_from_checkpoint(tmp_path)


@pytest.mark.parametrize("broken", ["worldmodels.utils.media.grid", "worldmodels.store.journal.png_bytes"])
def test_a_picture_that_fails_costs_nothing_but_the_picture(
    build_vision: Callable[..., Artifact],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    def fail(*_: Any, **__: Any) -> bytes:
        raise OSError("no room")

    monkeypatch.setattr(broken, fail)
    with caplog.at_level("WARNING"):
        artifact = build_vision()
    assert artifact.weights.exists() and len(artifact.summary["epochs"]) == 2
    assert "no picture of V's reconstructions: OSError: no room" in caplog.text


def test_a_failure_between_training_and_artifact_trains_nothing_anew(
    build_vision: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights cannot be written; then their folder cannot be renamed. The checkpoint stays for as long."""
    whole = build_vision("seed=1").weights.read_bytes()
    steps = []
    step = VisionModule.training_step
    monkeypatch.setattr(VisionModule, "training_step", lambda *given: steps.append(1) or step(*given))

    def fail(*_: Any) -> None:
        raise OSError("no room")

    for target in ("worldmodels.pipeline.stages.vision.save_weights", "worldmodels.store.building._finish"):
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(OSError, match="no room"):
                build_vision()
        trained = len(steps)
        assert len(list((tmp_path / "store").glob(f"vision/*.building/{CHECKPOINT}/last.ckpt"))) == 1
    artifact = build_vision()
    assert len(steps) == trained and trained > 0
    assert not (artifact.path / CHECKPOINT).exists()
    assert len(artifact.summary["epochs"]) == 2
    assert artifact.weights.read_bytes() != whole, "another seed"
    assert build_vision().cached


def test_ms_dream_that_fails_costs_nothing_but_its_picture(
    compose: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """V's weights, which decode the dream, are not there."""
    encoded, folder = tmp_path / "encoded", tmp_path / "m"
    encoded.mkdir()
    folder.mkdir()
    memory_store(encoded)
    network = "vae.network.latent_size=3"
    config = compose("scale=smoke", "trainer=cpu", "trainer.precision=32-true", "memory.steps=4", network)
    journal = Journal(folder, None, "memory")
    with caplog.at_level("WARNING"):
        summary = memory_stage.run(config, encoded, tmp_path / "none", 2, None, folder, journal)
    assert "no picture of a dream" in caplog.text
    assert [row["step"] for row in summary["steps"]] == [4] and (folder / "weights.safetensors").exists()
    assert summary["hyper_parameters"]["sizes"] == {"latent_size": 3, "action_size": 2}


def test_a_loss_without_training_frames_is_ready() -> None:
    for loss in LOSSES:
        VisionModule(config={"loss": loss}, context=TrainingContext(0))


@pytest.mark.parametrize("target", ["antigravity.fly", "os.system", "worldmodels.utils.parts.find"])
def test_a_checkpoint_runs_no_code_that_the_program_has_not_chosen(target: str) -> None:
    with pytest.raises(ConfigError, match=r"vae\.network=.*: expected"):
        VisionModule(config={"network": {"_target_": target}})


def test_more_epochs_of_v_go_on_from_a_kept_checkpoint(
    build_vision: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits as of a training that was as long from the start; not where a cosine stretches over all of it."""
    steps: list[int] = []
    step = VisionModule.training_step
    monkeypatch.setattr(VisionModule, "training_step", lambda *given: steps.append(1) or step(*given))
    for settings, saved in ((["vae.epochs=1"], 1), (["vae.epochs=1", "vae.min_learning_rate=1e-5"], 0)):
        build_vision(*settings, "trainer.keep_checkpoint=true")
        steps.clear()
        longer = build_vision(*settings[1:], "vae.epochs=3")
        done = len(steps)
        whole = build_vision(*settings[1:], "vae.epochs=3", root="other")
        assert len(steps) == 2 * done + saved * done // 2
        assert longer.content == whole.content
        rows = [[row["val_reconstruction"] for row in made.summary["epochs"]] for made in (longer, whole)]
        assert rows[0] == rows[1] and len(rows[0]) == 3


def test_more_steps_of_m_are_the_same_from_the_start(train_memory: Callable[..., Journal]) -> None:
    whole, short, longer = make_memory(), make_memory(), make_memory()
    expected = train_memory(whole, name="whole", epochs=3)
    train_memory(short, name="grown", epochs=2)
    got = train_memory(longer, name="grown", epochs=3)
    assert same_state(whole, longer) and not same_state(short, longer)
    assert [row["val_nll"] for row in got.rows("steps")] == [row["val_nll"] for row in expected.rows("steps")]


@pytest.mark.parametrize("module", [VisionModule, MemoryModule])
def test_a_file_that_is_no_checkpoint_is_refused_in_a_line(module: Any, tmp_path: Path) -> None:
    (path := tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(ConfigError, match=r"notes\.txt is no checkpoint: expected one that Lightning wrote"):
        module.load_from_checkpoint(path)


@pytest.mark.parametrize("module", [VisionModule, MemoryModule])
def test_a_checkpoint_that_is_not_there_is_refused_in_a_line(module: Any) -> None:
    with pytest.raises(ConfigError, match=r"^nope is not there: expected a checkpoint, a run's folder, or an artifact"):
        module.load_from_checkpoint("nope")
