"""Tables and pictures of finished runs: ``python experiments/lander_reconstruction/analyse.py RUN … [--to FOLDER]``.

What the columns and pictures show is in the README. The runs may be any part of the sweeps, all of one scale. With
``--from-csv`` intervals and verdicts are made again from the committed tables.
"""

from pathlib import Path

import numpy as np

from worldmodels.envs import task_class, task_spec
from worldmodels.reports import studies, tidy
from worldmodels.reports.groups import Group, Strategy
from worldmodels.rollouts.storage import RolloutStore, split
from worldmodels.store.runs import FinishedRun

ENV = "lunar_lander"
STRATEGIES = ("scratch", "pretrained_vision", "freeze2", "freeze_encoder")
MODELS = {"ConvVAE": "cvae", "FovealVAE": "foveal"}


def ordered(group: Group) -> list[Strategy]:
    """Scratch first, all the data before half of it."""
    return sorted(group.members, key=lambda strategy: (STRATEGIES.index(strategy.name), -strategy.budget))


def model(group: Group) -> str:
    """Which V a group's runs have."""
    run = next(run for members in group.members.values() for run in members.values())
    return MODELS[run.results["config"]["vae"]["network"]["_target_"].rsplit(".", 1)[1]]


def constants(run: FinishedRun) -> dict[str, float]:
    """R², by target, of the fitting rollouts' mean on those that score: of a probe whose z tells nothing."""
    heldout = run.heldout_folder("heldout")
    if heldout is None:
        return {}
    store, config, task = RolloutStore(heldout), run.config, task_class(run.config.env)
    fps = task_spec(config.env).fps

    def targets(rollouts: list[int]) -> np.ndarray:
        states = [store.read(rollout, "states") for rollout in rollouts]
        rows = [
            np.stack([task.target(rollout_states, name) for name in task.visible_targets], axis=1)
            for rollout_states in states
        ]
        return np.concatenate(
            [row[task.shown(rollout_states, fps)] for row, rollout_states in zip(rows, states, strict=True)]
        )

    fitted, scored = map(targets, split([entry.seed for entry in store.entries], config.probe.scored))
    if not len(fitted) or not len(scored):
        return {}
    missed = ((scored - fitted.mean(axis=0)) ** 2).sum(axis=0)
    spread = ((scored - scored.mean(axis=0)) ** 2).sum(axis=0)
    r_squared = 1 - np.divide(missed, spread, out=np.full_like(missed, np.nan), where=spread > 0)
    return {
        name: float(value) for name, value in zip(task.visible_targets, r_squared, strict=True) if np.isfinite(value)
    }


def main() -> None:
    arguments = studies.arguments(__doc__ or "", Path(__file__).parent)
    runs = [run for run in studies.read(arguments.runs, "vision", arguments.from_csv) if run.results["env"] == ENV]
    if not runs:
        raise SystemExit(f"error: expected runs on {ENV}: got none")
    judged = [group for group, _ in studies.write_tables(arguments.to, runs, "vision")]
    groups = {model(group): group for group in judged}
    if len(groups) < len(judged):
        raise SystemExit("error: expected the runs of each model to have the same settings")
    if arguments.from_csv:
        tidy.write_csv(arguments.to / "probes.csv", studies.probe_rows_again(arguments.from_csv / "probes.csv"))
        return
    rows = []
    for vae, group in sorted(groups.items()):
        constant = constants(next(iter(group.members[ordered(group)[0]].values())))
        for row in studies.probe_rows(group, ordered(group)):
            rows.append({"vae": vae, **row, "constant": constant.get(row["target"])})
    tidy.write_csv(arguments.to / "probes.csv", rows)
    for vae, group in groups.items():
        studies.picture(arguments.to / f"{ENV}_{vae}.png", group, ordered(group))


if __name__ == "__main__":
    main()
