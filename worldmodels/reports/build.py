"""Writing a report: ``index.html``, the figures it shows as files of their own, and the tables behind them."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from worldmodels.reports import dashboard, page, parameters, plotting, sections, strips, tidy
from worldmodels.reports.figures import learning_curves, save, separate, svg
from worldmodels.reports.groups import JUDGED_PARTS, Group, artifact, differences, group_runs, labels
from worldmodels.reports.judgement import FAMILY, SMOKE, matrix, settings_note, verdicts
from worldmodels.reports.page import Html
from worldmodels.reports.verdict import JUDGED, comparison_rows, comparisons
from worldmodels.store.artifacts import RECORD
from worldmodels.store.runs import FinishedRun
from worldmodels.store.wording import NEAR_NORMAL
from worldmodels.utils.comparing import FEWEST
from worldmodels.utils.files import write_bytes

CAPTION = (
    f"Thick: mean over seeds; thin: single seeds; band, from {FEWEST} seeds on: the mean's interval "
    f"({NEAR_NORMAL}) at each point by itself, cut at the edge where it is wide."
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
BROAD = 5.0  # inches, from which on a figure is not made smaller on a narrow page
STRIP = "V's reconstructions of validation frames from μ, after the last epoch of the first seed, below the frames."


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
        self.judged = [(group, [] if group.scale == SMOKE else comparisons(group)) for group in self.groups]

    def write(self) -> Path:
        """Write the whole report. Returns the path of its page."""
        self._tables()
        details = {
            "Scores": sections.evaluation_table(self.runs),
            "Cost": sections.cost_table(self.runs),
            "Parameters": parameters.section(self.runs),
            "Probes": sections.probe_table(self.runs),
            "Held-out figures": sections.heldout_table(self.runs),
            "Measures of M": sections.measure_table(self.runs),
            "Settings": settings_note(self.groups, self.differing),
            "Runs": sections.run_table(self.runs, self.folder),
        }
        if len(self.runs) == 1:
            run, title = self.runs[0], dashboard.title(self.runs[0])
            lead = dashboard.lead(run)
            content = {**dashboard.sections(run, self._figure), "Reconstructions": self._strips(), **details}
        else:
            title, lead = "Transfer in World Models", self._lead()
            content = self._compared() | details
        content["Files"] = page.folded("Figures and tables as files", self._files())
        path = self.folder / "index.html"
        write_bytes(path, page.document(title, lead + self._left_out(), content).encode())
        return path

    def _compared(self) -> dict[str, Html]:
        """What several runs show beside each other."""
        tasks = dict.fromkeys(group.env for group in self.groups)
        return {
            "What to use when": verdicts(self.judged, self.differing),
            "Transfer matrix": Html(matrix(self.judged, self.differing) + self._gains()),
            **{f"Learning curves: {env}": self._curves(env) for env in tasks},
            "Reconstructions": self._strips(),
        }

    def _lead(self) -> Html:
        count, tasks = len(self.runs), ", ".join(sorted({run.results["env"] for run in self.runs}))
        return page.paragraph(f"{count} runs on {tasks}.")

    def _left_out(self) -> str:
        if not self.problems:
            return ""
        problems = "".join(page.paragraph(problem) for problem in self.problems)
        return f'<div class="problem"><b>Left out, replaced or unfinished</b>\n{problems}</div>\n'

    def _figure(self, name: str, figure: Figure | None, caption: str) -> str:
        if figure is None:
            return ""
        style = "broad" if figure.get_figwidth() > BROAD else ""
        return page.figure(save(figure, self.folder / "figures" / f"{name}.svg"), "svg", name, caption, style)

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
                parts.append(self._panels(name, group, budget, CAPTIONS[group.part] + rest))
                figure = plotting.published_figure(group, budget)
                parts.append(self._figure(f"{name}-published", figure, published + settings))
        return Html("".join(parts))

    def _panels(self, name: str, group: Group, budget: float, caption: str) -> str:
        """Learning curves of a part: in one file, and on the page a panel each, so that a narrow one can show them."""
        panels = plotting.panels(group, budget)
        if not panels:
            return ""
        together = group.part == "controller"
        save(learning_curves(panels, share_y=together), self.folder / "figures" / f"{name}.svg")
        shown = (
            page.figure(svg(figure), "svg", panel.title)
            for panel, figure in zip(panels, separate(panels, share_y=together), strict=True)
        )
        return page.side_by_side(shown) + page.paragraph(caption, "note")

    def _gains(self) -> Html:
        caption = (
            f"◆ mean, with its interval ({NEAR_NORMAL}) for one comparison by itself; circles: seeds. Hollow: neither "
            f"better nor worse, by Holm {FAMILY}. All at equal budget."
        )
        figures = "".join(
            self._figure(f"{self._file_name(group)}-gains", plotting.gains_figure(group, compared), caption)
            for group, compared in self.judged
        )
        return page.side_by_side([figures] if figures else [])

    def _strips(self) -> Html:
        """V's last picture of every strategy, of its first seed, below the frames that they show."""
        parts = []
        for group in (group for group in self.groups if group.part == "vision"):
            names, pictures = labels(group.members), {}
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
                    pictures[name] = data
            if pictures:
                settings = f", {self.differing[group.settings]}" if self.differing[group.settings] else ""
                parts.append(f"<h3>{escape(f'{group.env}, {group.scale}{settings}')}</h3>\n")
                parts += [page.figure(data, "png", name, name, "strip") for name, data in strips.rows(pictures)]
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
