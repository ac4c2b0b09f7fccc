"""Writing a report: ``index.html``, the figures it shows as files of their own, and the tables behind them."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from worldmodels.reports import page, plotting, sections, tidy
from worldmodels.reports.figures import save
from worldmodels.reports.groups import JUDGED_PARTS, Group, artifact, differences, group_runs, labels
from worldmodels.reports.judgement import FAMILY, matrix, settings_note, verdicts
from worldmodels.reports.page import Html
from worldmodels.reports.verdict import JUDGED, comparison_rows, comparisons
from worldmodels.store.artifacts import RECORD, write_bytes
from worldmodels.store.runs import FinishedRun

CAPTION = (
    "Thick: mean over seeds; thin: single seeds; band: the mean's 95 % interval at each point by itself, cut at the "
    "edge where it is wide."
)
CAPTIONS = {
    "vision": CAPTION,
    "memory": f"{CAPTION} NLLs are comparable only between runs with the same V.",
    "controller": f"{CAPTION} Returns are means over an individual's rollouts in one generation.",
}
PUBLISHED = (
    "Grey: published searches, on CarRacing of an older version. A generation is not the same amount of work: that of "
    "Ha & Schmidhuber 2018 (arXiv:1803.10122) has 64 individuals × 16 rollouts, ours {own}; Wellmer 2020's controller "
    "also sees M's cell state. Hence the log axis, which shows the whole of both."
)
STRIP = "Above: validation frames; below: V's reconstruction from μ, after the last epoch of the first seed."


class Report:
    """Collects what a report shows, and writes it into ``folder``."""

    def __init__(self, folder: Path, runs: Sequence[FinishedRun], problems: Sequence[str]) -> None:
        self.folder, self.runs, self.problems = folder, runs, list(problems)
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        grouped = {part: group_runs(runs, part) for part in JUDGED_PARTS}
        self.problems += [note for _, notes in grouped.values() for note in notes]
        self.groups = [group for of_part, _ in grouped.values() for group in of_part]
        self.differing = differences(self.groups)
        for group in self.groups:
            if group.part != "evaluate":
                measure = JUDGED[group.part][0]
                self.problems += [f"{run}: {measure} is not finite; left out" for run in group.diverged(measure)]
        self.judged = [(group, comparisons(group)) for group in self.groups]

    def write(self) -> Path:
        """Write the whole report. Returns the path of its page."""
        self._tables()
        tasks = dict.fromkeys(group.env for group in self.groups)
        content = {
            "What to use when": verdicts(self.judged, self.differing),
            "Transfer matrix": Html(matrix(self.judged, self.differing) + self._gains()),
            **{f"Learning curves: {env}": self._curves(env) for env in tasks},
            "Reconstructions": self._strips(),
            "Scores": sections.evaluation_table(self.runs),
            "Cost": sections.cost_table(self.runs),
            "Parameters": sections.parameter_table(self.runs),
            "Probes": sections.probe_table(self.runs),
            "Held-out figures": sections.heldout_table(self.runs),
            "Measures of M": sections.measure_table(self.runs),
            "Settings": settings_note(self.groups, self.differing),
            "Runs": sections.run_table(self.runs, self.folder),
            "Files": self._files(),
        }
        path = self.folder / "index.html"
        write_bytes(path, page.document("Transfer in World Models", self._lead(), content).encode())
        return path

    def _lead(self) -> str:
        count, tasks = len(self.runs), ", ".join(sorted({run.results["env"] for run in self.runs}))
        lead = page.paragraph(f"{count} run{'s' if count > 1 else ''} on {tasks}.")
        if count == 1:
            lead += sections.film(self.runs[0])
        if self.problems:
            problems = "".join(page.paragraph(problem) for problem in self.problems)
            lead += Html(f'<div class="problem"><b>Left out or replaced</b>\n{problems}</div>\n')
        return lead

    def _figure(self, name: str, figure: Figure | None, caption: str) -> str:
        if figure is None:
            return ""
        return page.figure(save(figure, self.folder / "figures" / f"{name}.svg"), "svg", name, caption)

    def _file_name(self, group: Group) -> str:
        """A file name for a group's figures."""
        return f"{group.env}-{group.part}-{group.scale}-{group.settings}"

    def _curves(self, env: str) -> Html:
        """Learning curves of a task, a figure for each part, settings and budget."""
        parts = []
        for group in (group for group in self.groups if group.env == env and group.part in plotting.PANELS):
            settings = (
                f" Settings: {group.scale}; {self.differing[group.settings]}." if self.differing[group.settings] else ""
            )
            search = [group.config.get(f"controller.{key}") for key in ("population", "rollouts")]
            published = PUBLISHED.format(own=" × ".join(map(str, search)))
            for budget in plotting.budgets(group):
                name = f"{self._file_name(group)}-budget{budget:g}"
                rest = f" Budget of the transferred parts: {budget:g}.{settings}"
                parts.append(self._figure(name, plotting.curves_figure(group, budget), CAPTIONS[group.part] + rest))
                figure = plotting.published_figure(group, budget)
                parts.append(self._figure(f"{name}-published", figure, published + settings))
        return Html("".join(parts))

    def _gains(self) -> Html:
        caption = (
            "◆ mean, with the 95 % interval of one comparison by itself; circles: seeds. Hollow: neither better nor "
            f"worse, by Holm {FAMILY}. All at equal budget."
        )
        figures = "".join(
            self._figure(f"{self._file_name(group)}-gains", plotting.gains_figure(group, compared), caption)
            for group, compared in self.judged
        )
        return Html(f'<div class="pairs">{figures}</div>\n' if figures else "")

    def _strips(self) -> Html:
        """V's last picture of every strategy, of its first seed."""
        parts = []
        for group in (group for group in self.groups if group.part == "vision"):
            names, strips = labels(group.members), []
            for strategy in sorted(group.members, key=lambda strategy: (not strategy.scratch, strategy)):
                seed = min(group.members[strategy])
                data = _last_picture(group.members[strategy][seed])
                if data is not None:
                    source = f", from {strategy.source_env}" if strategy.source_env else ""
                    name = f"{names[strategy]}{source}, seed {seed}"
                    file = re.sub(
                        r"[^\w.-]+", "_", f"{self._file_name(group)}-{names[strategy].replace('×', 'x')}-seed{seed}"
                    )
                    write_bytes(self.folder / "figures" / f"{file}.png", data)
                    strips.append(page.figure(data, "png", f"{group.env}: {name}", name, strip=True))
            if strips:
                settings = f", {self.differing[group.settings]}" if self.differing[group.settings] else ""
                parts += [f"<h3>{escape(f'{group.env}, {group.scale}{settings}')}</h3>\n", *strips]
        return Html("".join([page.paragraph(STRIP, "note"), *parts]) if parts else "")

    def _tables(self) -> None:
        tables = {
            "curves": tidy.curve_rows,
            "heldout": tidy.heldout_rows,
            "evaluations": tidy.evaluation_rows,
            "costs": tidy.cost_rows,
            "parameters": tidy.parameter_rows,
            "probes": tidy.probe_rows,
            "measures": tidy.measure_rows,
            "runs": lambda run: [tidy.facts(run)],
        }
        rows_of = {name: [row for run in self.runs for row in rows(run)] for name, rows in tables.items()}
        rows_of["comparisons"] = comparison_rows(
            [comparison for _, group_comparisons in self.judged for comparison in group_comparisons]
        )
        for name, rows in rows_of.items():
            if rows:
                tidy.write_csv(self.folder / "tables" / f"{name}.csv", rows)

    def _files(self) -> Html:
        paths = sorted([*self.folder.glob("tables/*.csv"), *self.folder.glob("figures/*")])
        names = (str(path.relative_to(self.folder)) for path in paths)
        return page.listing(page.link(name, name) for name in names)


def _last_picture(run: FinishedRun) -> bytes | None:
    """The picture V made of its reconstructions after its last epoch; None where it made none, or is gone."""
    stage = run.folder / run.results["artifacts"] / "vision" / artifact(run, "vision")
    pictures = sorted((stage / RECORD / "pictures").glob("reconstruction.*.png"))
    return pictures[-1].read_bytes() if pictures else None
