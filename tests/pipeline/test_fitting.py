"""Why a run's V or M cannot be taken, and with which settings it could."""

import re
import shlex

import pytest
from helpers import ROOT

from worldmodels.config import Config
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.fitting import require_fitting
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.weights import ALL_NAMES, save_weights
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import spelled_out


def make(config, part):
    return make_vision(config) if part == "vision" else make_memory(config, 2)


@pytest.mark.parametrize("agent", ["car_racing", "lunar_lander"])
def test_a_committed_agent_has_no_decoder_and_that_is_told(compose, agent):
    run = FinishedRun(ROOT / "experiments" / "solve" / agent)
    config, weights = compose("transfer=pretrained", f"transfer.source_run={run.folder}"), run.vision.weights
    with pytest.raises(ConfigError, match=r"was exported without V's decoder; expected the run .* decoder=true"):
        require_fitting(config, run.config, "vision", make_vision(run.config), weights, ALL_NAMES)
    require_fitting(config, run.config, "vision", make_vision(run.config), weights, ("encoder.",))


@pytest.mark.parametrize(
    ("part", "theirs", "ours", "fix"),
    [
        ("vision", ["vae=cvae"], ["vae=foveal"], ["vae.network=worldmodels.vision.network.ConvVAE"]),
        ("vision", ["vae=foveal"], ["vae=cvae"], ["vae.network=worldmodels.vision.foveal.FovealVAE"]),
        (
            "vision",
            ["vae=cvae", "vae.network.latent_size=8"],
            ["vae=foveal", "vae.network.latent_size=16"],
            ["vae.network=worldmodels.vision.network.ConvVAE", "vae.network.latent_size=8"],
        ),
        (
            "memory",
            ["vae.network.latent_size=8", "memory.network.hidden_size=16"],
            ["memory.network.mixtures=3"],
            ["vae.network.latent_size=8", "memory.network.hidden_size=16", "memory.network.mixtures=5"],
        ),
    ],
)
def test_the_settings_that_are_named_make_it_fit(compose, tmp_path, part, theirs, ours, fix):
    taken = ["transfer=pretrained", f"transfer.source_run={tmp_path}"]
    source, config = compose(*theirs), compose(*ours, *taken)
    weights = tmp_path / "weights.safetensors"
    save_weights(make(source, part), weights)
    told = rf"cannot take {part} from .*: expected the same network; set (.+), or use another source$"
    with pytest.raises(ConfigError, match=told) as caught:
        require_fitting(config, source, part, make(config, part), weights, ALL_NAMES)
    named = re.search(told, str(caught.value))
    assert named is not None and shlex.split(named[1]) == fix
    assert "in the source's network" in str(caught.value) and "\n" not in str(caught.value)
    fitted = compose(*ours, *taken, *spelled_out(fix, Config))
    require_fitting(fitted, source, part, make(fitted, part), weights, ALL_NAMES)
