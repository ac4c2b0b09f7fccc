"""Names of runs' folders."""

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from worldmodels.config import conf_dir, register_schema


@pytest.fixture
def folders():
    """The parts of Hydra's folders of a run, or of a job of a sweep, that an override is named in."""
    register_schema()

    def named(*overrides, sweep=()):
        more = [f"hydra.{key}={value}" for key, value in sweep]
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = hydra.compose("config", [*overrides, *more], return_hydra_config=True)
        return composed.hydra.sweep.subdir if sweep else composed.hydra.run.dir.split("/")[2]

    yield named
    GlobalHydra.instance().clear()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("", "car_racing-seed0"),
        ("env=lunar_lander seed=3", "lunar_lander-seed3"),
        ("scale=smoke env=lunar_lander transfer=freeze2", "lunar_lander-smoke-freeze2-seed0"),
        ("transfer=scratch transfer.budget=0.5", "car_racing-scratch-budget0.5-seed0"),
        ("vae=foveal", "car_racing-foveal-seed0"),
        ("vae.loss=salient controller.search=sep_cma", "car_racing-salient-sep_cma-seed0"),
        ("vae.loss=mypackage.losses.Huber", "car_racing-Huber-seed0"),
        ("controller.search={sigma:0.3}", "car_racing-sigma_0.3-seed0"),
        ("vae.loss={_target_:mypackage.losses.Huber,delta:0.1}", "car_racing-Huber_delta_0.1-seed0"),
        ("vae.learning_rate=0.01 controller.generations=7", "car_racing-vae.learning_rate0.01-generations7-seed0"),
        ("controller.inputs=[z,h] controller.seed=1", "car_racing-inputsz_h-controller.seed1-seed0"),
        ("experiment=lunar_lander iterations=2", "lunar_lander-experiment-iterations2-seed0"),
        ("env=cart_pole env.name=acrobot env.id=Acrobot-v1", "acrobot-seed0"),
        ("executor=serial trainer=cpu paths.outputs=outputs stage=vision logger=none", "car_racing-seed0"),
        ("++env.kwargs.gravity=-9", "car_racing-env.kwargs.gravity-9-seed0"),
        ("logger=wandb ++logger.wandb.api_key=secret", "car_racing-seed0"),
        ("callbacks=early_stopping", "car_racing-early_stopping-seed0"),
        ("env=cart_pole env.name=" + "long" * 60, "long" * 15 + "-seed0"),
        ("++executor.engine.password=secret", "car_racing-seed0"),
        (
            f"transfer=pretrained transfer.source_run={'folder/' * 9}x scale=smoke",
            "car_racing-pretrained-smoke-etc-seed0",
        ),
    ],
)
def test_a_folder_is_named_by_the_task_what_was_typed_and_the_seed(folders, overrides, name):
    assert folders(*overrides.split()) == name


def test_a_name_stays_readable(folders):
    typed = ("vae.epochs=3", "memory.steps=400", "controller.generations=7", "controller.phases=[]")
    name = folders(*typed, "controller.rollouts=3", "controller.population=16", "vae.learning_rate=0.001")
    assert name.startswith("car_racing-vae.epochs3-steps400-generations7-")
    assert name.endswith("-etc-seed0") and len(name) < 90


def test_a_job_is_named_first_by_what_sets_it_apart(folders, tmp_path):
    common = ["scale=smoke", "vae.epochs=2", "executor.engine={_target_: serial}"]
    lines = "".join(f"    - '{word}'\n" for word in [*common, "trainer.threads=1,2", "transfer=scratch,freeze2"])
    (tmp_path / "multirun.yaml").write_text(f"hydra:\n  overrides:\n    task:\n{lines}")
    sweep = (("sweep.dir", tmp_path), ("job.num", 3))
    common[-1] = "executor.engine={_target_:serial}"  # as Hydra writes it again for a job
    name = folders(*common, "trainer.threads=2", "transfer=scratch", sweep=sweep)
    assert name == "3-car_racing-threads2-scratch-smoke-vae.epochs2-seed0"
