"""Tables and pictures of finished runs: ``python experiments/lander_reconstruction/analyse.py RUN … [--to FOLDER]``.

What the columns and pictures show is in the README. The runs may be any part of the sweeps, all of one scale.
"""

from pathlib import Path

from worldmodels.reports import studies, tidy
from worldmodels.reports.groups import Group, Strategy

ENV = "lunar_lander"
STRATEGIES = ("scratch", "pretrained_vision", "freeze2", "freeze_encoder")
MODELS = {"ConvVAE": "cvae", "FovealVAE": "foveal"}


def ordered(group: Group) -> list[Strategy]:
    """Scratch first, all the data before half of it."""
    return sorted(group.members, key=lambda each: (STRATEGIES.index(each.name), -each.budget))


def main() -> None:
    arguments = studies.arguments(__doc__ or "", Path(__file__).parent)
    runs = [run for run in studies.read(arguments.runs, "vision") if run.results["env"] == ENV]
    groups = {
        MODELS[str(group.config["vae.network._target_"]).rsplit(".", 1)[1]]: group
        for group, _ in studies.write_tables(arguments.to, runs, "vision")
    }
    rows = [
        {"vae": vae, **row}
        for vae, group in sorted(groups.items())
        for row in studies.probe_rows(group, ordered(group))
    ]
    tidy.write_csv(arguments.to / "probes.csv", rows)
    for vae, group in groups.items():
        studies.picture(arguments.to / f"{ENV}_{vae}.png", group, ordered(group))


if __name__ == "__main__":
    main()
