"""What is told of a source before any weight is read."""

import json

import pytest
from synthetic import write_run

from worldmodels.config import to_config
from worldmodels.pipeline.source import Request, check_source, source_config
from worldmodels.utils.errors import ConfigError

OTHER = ("env=lunar_lander", "vae=cvae", "vae.network.latent_size=16")


@pytest.fixture
def taken(tmp_path, compose):
    """A config that takes weights from a finished run whose z has 16 dimensions."""
    run = write_run(tmp_path, compose(*OTHER), name="source")
    return lambda *overrides: compose(*overrides, f"transfer.source_run={run}")


def test_columns_of_z_are_kept_only_of_a_z_of_the_same_size(taken):
    """A frozen LSTM under a fresh head: nothing else in M tells the two apart."""
    lstm = ("transfer=freeze_lstm", "transfer.load=[memory.lstm]")
    with pytest.raises(ConfigError) as caught:
        check_source(taken(*lstm, "transfer.input_layer=keep_latent"))
    assert "source has 16 and this run 32: set vae.network.latent_size=16, or use" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "vae.network.latent_size=16")) is None
    assert check_source(taken(*lstm)) is None  # its input layer is fresh
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "stage=vision")) is None  # M is not reached


def test_without_a_source_there_is_nothing_to_check(compose):
    assert check_source(compose()) is None
    assert check_source(compose("transfer=freeze_lstm", "stage=vision")) is None


def test_a_run_that_is_none_is_refused(compose):
    with pytest.raises(ConfigError, match="nowhere is no run"):
        check_source(compose("transfer=pretrained", "transfer.source_run=nowhere"))


def test_a_source_is_asked_for_as_its_target_was(composed):
    """But for its task and strategy; V is the target's, not the one that the source's task has of itself."""
    asked = []
    overrides = ["env=lunar_lander", "transfer=pretrained", "seed=3", "env.renderer=exact", "env.crop_bottom=0.1"]
    overrides += ["stage=vision", "hydra.run.dir=elsewhere", "hydra.searchpath=[file:///mine]", "++vae.loss.weight=3"]

    def choose(anew):
        asked.extend(anew)
        return composed([each for each in anew if not each.startswith("hydra.")])

    target = to_config(composed(overrides[:6]))
    source = source_config(target, Request(overrides, "foveal", choose))
    assert asked == [
        *("seed=3", "env.renderer=exact", "hydra.searchpath=[file:///mine]", "++vae.loss.weight=3", "vae=foveal"),
        *("env=car_racing", "transfer=scratch", "stage=vision", "vae.frames=real"),
    ]
    assert (source.env.name, source.env.renderer, source.seed, source.stage) == ("car_racing", "exact", 3, "vision")
    assert source.env.crop_bottom == 0 and source.vae.network == target.vae.network


def test_a_source_of_other_peoples_code_needs_permission(taken, tmp_path):
    results = json.loads((tmp_path / "runs" / "source" / "results.json").read_text())
    results["config"]["collect"]["policy"] = "mypackage.Policy"
    (tmp_path / "runs" / "source" / "results.json").write_text(json.dumps(results))
    with pytest.raises(ConfigError, match=r"names mypackage.Policy, .* add allow=\[mypackage\]"):
        check_source(taken("transfer=pretrained"))
    assert check_source(taken("transfer=pretrained", "allow=[mypackage]")) is None
