"""What each stage's artifact depends on."""

import pytest

from worldmodels.config import STAGES
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.utils.errors import ConfigError

PRECISE = "trainer.precision=32-true"


@pytest.fixture
def made(keys, monkeypatch):
    """What a run of all stages would build."""
    return lambda *overrides: keys("env=car_racing", "scale=smoke", "trainer=cpu", *overrides)


@pytest.fixture
def inputs(made):
    """Each stage's own inputs, those of its parents not counted."""
    return lambda *overrides: made(*overrides).inputs


CHANGES = [
    ("env.renderer=gymnasium", {"collect", "controller"}),  # the score is of Gymnasium's pictures in any case
    ("env.renderer=exact", {"collect", "controller"}),
    ("env.action_repeat=2", {"collect", "controller", "evaluate"}),
    ("env.crop_bottom=0.125", {"collect", "controller", "evaluate"}),
    ("env.max_steps=500", set()),  # a smaller limit holds in the smoke scale
    ("collect.max_steps=30", {"collect"}),
    ("collect.policy={_target_: sticky, persistence: 0.5}", {"collect"}),
    ("collect.policy=biased", {"collect"}),
    ("collect.scatter=true", {"collect"}),
    ("heldout.max_steps=20", set()),
    ("heldout.seed=3", set()),
    ("probe.epochs=3", set()),
    ("probe.enabled=false", set()),
    ("measure.training_frames=50", set()),
    ("measure.enabled=false", set()),
    ("memory.mean_inputs=0.5", {"memory"}),
    ("+memory.network.skip_gain=true", {"memory"}),
    ("vae.network.latent_size=16", {"vision", "encode"}),
    ("vae.loss=sigma", {"vision"}),
    ("vae=vae_gan", {"vision"}),
    ("trainer.accelerator=auto", set()),
    ("reuse=any", set()),
    ("allow=[mypackage]", set()),
    ("memory.cached_rollouts=3", set()),
    ("controller.patience=50", {"controller"}),
    ("+controller.search.sigma=0.2", {"controller"}),
    ("evaluate.episodes=3", {"evaluate"}),
    ("executor=serial", set()),
    ("executor.workers=1", set()),
    ("executor.slots=1", set()),
    ("trainer.threads=1", set()),
    ("trainer.compile=true", set()),
    ("trainer.channels_last=false", set()),
    ("trainer.precision=bf16-mixed", {"vision", "encode", "memory", "controller", "evaluate"}),
]


@pytest.mark.parametrize(("override", "expected"), CHANGES, ids=[override for override, _ in CHANGES])
def test_a_stage_depends_on_what_it_reads(inputs, override, expected):
    before, after = inputs(PRECISE), inputs(PRECISE, override)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == expected


def test_the_limit_of_the_episodes_that_choose_the_agent_counts(inputs):
    searched = ("controller.max_steps=50", "controller.validate_every=1")
    before, after = inputs(*searched, "env.max_steps=300"), inputs(*searched, "env.max_steps=400")
    assert {stage for stage in STAGES if before[stage] != after[stage]} >= {"controller"}
    unvalidated = [inputs(searched[0], f"env.max_steps={limit}")["controller"] for limit in (300, 400)]
    assert unvalidated[0] == unvalidated[1]
    assert "validation_max_steps" not in inputs(*searched, "env.max_steps=50")["controller"]["controller"]


def test_pictures_that_are_the_same_count_as_the_same(inputs):
    """``exact`` draws what ``gymnasium`` draws, sooner."""
    assert inputs("env.renderer=exact") == inputs("env.renderer=gymnasium")


def test_every_run_of_a_task_is_judged_on_the_same_rollouts(inputs):
    before = inputs()["heldout"]
    for override in ("seed=3", "collect.policy=biased", "collect.scatter=true", "transfer=scratch", "vae.epochs=9"):
        assert inputs(override)["heldout"] == before
    assert inputs("heldout.max_steps=20")["heldout"] != before


def test_settings_of_policies_that_are_not_used_do_not_count(inputs):
    settings = inputs("collect.policy=uniform")["collect"]["collect"]
    assert set(settings) == {"rollouts", "frames", "max_steps", "policy", "seed"}  # as before there were others


def test_probes_are_made_after_what_they_probe_and_only_if_wanted(inputs):
    judged = {"heldout", "heldout_encode", "probe_vision", "probe_memory"}
    assert judged <= set(inputs())
    assert not judged & set(inputs("probe.enabled=false", "measure.enabled=false"))


def test_measures_are_made_only_if_wanted(inputs):
    before, measured = inputs(), {"measure_vision", "measure_memory"}
    assert not measured & set(inputs("measure.enabled=false"))
    assert {*measured, "heldout_encode"} <= set(inputs("probe.enabled=false"))
    assert {"measure_vision", "heldout"} <= set(inputs("probe.enabled=false", "stage=vision", "env=cart_pole"))
    assert inputs("probe.epochs=3")["measure_memory"] == before["measure_memory"]
    assert inputs("measure.training_frames=50")["measure_memory"] != before["measure_memory"]


@pytest.mark.parametrize(
    ("loss", "setting"),
    [("salient", "weight"), ("perceptual", "weight"), ("gan", "gamma"), ("gan", "learning_rate")],
)
def test_a_losss_own_settings_count_with_it(inputs, loss, setting):
    value = "0.125" if loss != "salient" else "7"
    before, after = inputs(f"vae.loss={loss}"), inputs(f"vae.loss={{_target_: {loss}, {setting}: {value}}}")
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"vision"}
    assert not any(key.startswith(loss) for key in inputs()["vision"]["vae"])  # and with no other


def test_persistence_counts_with_the_policies_that_have_it(inputs):
    for policy in ("sticky", "biased"):
        before, after = (
            inputs(f"collect.policy={{_target_: {policy}, persistence: {value}}}")["collect"] for value in (0.5, 0.6)
        )
        assert before != after
    assert "persistence" not in str(inputs("collect.policy=uniform")["collect"])


def test_a_controller_that_sees_z_alone_does_not_depend_on_m(made):
    before, after = (
        made("controller.inputs=[z]", f"memory.learning_rate={rate}", "vae=cvae") for rate in (0.001, 0.002)
    )
    assert before.keys["memory"] != after.keys["memory"]
    assert [before.keys[stage] for stage in ("controller", "evaluate")] == [
        after.keys[stage] for stage in ("controller", "evaluate")
    ]
    reading = [made(f"memory.learning_rate={rate}") for rate in (0.001, 0.002)]
    assert reading[0].keys["controller"] != reading[1].keys["controller"]


AGENTS = {"controller", "evaluate"}


@pytest.mark.parametrize(
    ("node", "overrides", "expected"),
    [
        ("vae", [], {"vision", "encode", "heldout_encode", "measure_vision", "probe_vision", *AGENTS}),
        ("memory", [], {"memory", "measure_memory", "probe_memory", *AGENTS}),
        ("memory", ["controller.inputs=[z]"], {"memory", "measure_memory", "probe_memory"}),
        (
            "memory",
            ["controller.inputs=[z]", "controller.where=dream"],
            {"memory", "measure_memory", "probe_memory", "controller"},
        ),
    ],
)
def test_a_setting_that_the_weights_do_not_tell_counts_wherever_the_network_is_used(inputs, node, overrides, expected):
    """Of somebody's network, for example one that holds only where nothing is trained."""
    before, after = (
        inputs(f"{node}.network={{_target_: toys.Network, sharpness: {value}}}", *overrides) for value in (1.0, 2.0)
    )
    assert {stage for stage in before if before[stage] != after[stage]} == expected


def test_where_dreams_begin_counts(inputs):
    """In rollouts that M was trained on, also where M is frozen and its weights do not tell."""
    made = [inputs("controller.where=dream", f"memory.validation_fraction={share}") for share in (0.1, 0.4)]
    assert made[0]["controller"] != made[1]["controller"]
    made = [inputs(f"memory.validation_fraction={share}") for share in (0.1, 0.4)]
    assert made[0]["controller"] == made[1]["controller"]


def test_features_must_be_of_a_finished_run(made):
    with pytest.raises(ConfigError, match=r"nowhere is no run"):
        made("vae.loss={_target_: perceptual, run: nowhere}")


@pytest.mark.parametrize(
    ("strategy", "vision", "memory"),
    [
        ("scratch", None, None),
        ("freeze2", {"freeze": ["vision.encoder.layers.0", "vision.encoder.layers.1"], "budget": 0.5}, None),
        ("freeze_lstm", None, {"freeze": ["memory.lstm"], "budget": 0.5}),
    ],
)
def test_old_artifacts_outlive_new_options(inputs, strategy, vision, memory):
    """A new key among these would make every artifact anew."""
    made = inputs(f"transfer={strategy}")
    assert (made["vision"].get("transfer"), made["memory"].get("transfer")) == (vision, memory)
    for stage, settings in (("vision", "vae"), ("memory", "memory")):
        assert set(made[stage]) - {"transfer"} == {"format", settings, "seed", "precision"}
    heads = {"reward_head", "end_head"}
    assert set(made["memory"]["memory"]["network"]) == {"_target_", "hidden_size", "mixtures", *heads}
    assert set(made["controller"]) == {"format", "env", "controller", "seed", "precision"}


def test_an_unusual_budget_is_in_the_name_of_what_it_made(made):
    labels = made("transfer.budget=0.5", "transfer.budgeted=[vision]").labels
    assert labels["vision"] == labels["evaluate"] == "car_racing-scratch-budget0.5-vision-smoke-seed0"
    assert labels["memory"] == made().labels["vision"] == "car_racing-scratch-smoke-seed0"


def test_frames_count_where_they_are_not_real(inputs):
    before, after = inputs(), inputs("vae.frames=noise")
    assert "frames" not in before["vision"]["vae"]
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"vision"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["transfer=random_encoder", "transfer.freeze_random=[vision.eye]"], r"freeze_random=vision\.eye is no module"),
        (["transfer=gradual_unfreezing", "transfer.unfreeze=[vision.eye]"], r"unfreeze=vision\.eye is no module"),
        (["transfer=pretrained", "transfer.load=[vision.eye]"], r"load=vision\.eye is no module"),
        (["transfer=pretrained_vision", "transfer.unfreeze=[vision]"], "leaves nothing of vision to train"),
    ],
)
def test_a_path_to_nothing_is_refused_before_any_work(compose, overrides, message):
    def source() -> Pipeline:
        return Pipeline(compose("env=bipedal_walker", "vae=cvae"), None, None, None, source)

    with pytest.raises(ConfigError, match=message):
        Pipeline(compose("scale=smoke", "trainer=cpu", *overrides), None, None, None, source)
