"""``python -m worldmodels.report``, as users run it, and the page it writes."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers import Commands, Finished
from PIL import Image
from synthetic import write_run

from worldmodels.reports.build import Report
from worldmodels.reports.tidy import find_runs

STRATEGIES = ("scratch", "freeze2")
SECTIONS = ("What to use when", "Transfer matrix", "Learning curves: car_racing", "Reconstructions", "Scores", "Cost")
SECTIONS += ("Parameters", "Probes", "Measures of M", "Runs", "Files")
SINGLE = ("What it looks like", "What each stage gave", "Learning curves", "How far M foresees")
SINGLE += ("What V and M know of the task", "Settings that differ from the defaults")
ALONE = {"meta", "img", "br"}  # have no end


class Reader(HTMLParser):
    """What a browser would load or offer to follow, and whether every element is closed."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page.read_text())
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        if tag not in ALONE:
            self.open.append(tag)
        given = {name: value or "" for name, value in attrs}
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
        self.links += [given[name] for name in ("href",) if name in given]
        self.ids += [given[name] for name in ("id",) if name in given]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def checked(page: Path) -> Reader:
    """Read a page that has nothing missing: pictures inside it, links that exist, nothing from the network."""
    reader = Reader(page)
    assert reader.loaded
    assert all(re.match(r"data:image/(svg\+xml|png|gif);base64,[A-Za-z0-9+/=]+$", source) for source in reader.loaded)
    for link in reader.links:
        if link.startswith("#"):
            assert link[1:] in reader.ids
        else:
            assert not re.match(r"[a-z]+:|/", link), "links are relative"
            assert (page.parent / link).exists(), link
    style = re.search(r"<style>(.*?)</style>", page.read_text(), re.S)
    assert style and not re.search(r"@import|url\(", style[1])
    return reader


def six_runs(outputs: Path, compose: Callable[..., Any]) -> Path:
    for seed in range(3):
        for transfer, gain in (("scratch", 0.0), ("freeze2", 3.0)):
            config = compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0", "vae.epochs=2")
            write_run(outputs, config, gain)
    return outputs


@pytest.fixture
def outputs(tmp_path, compose):
    return six_runs(tmp_path / "outputs", compose)


@pytest.fixture(scope="module")
def page(tmp_path_factory, compose):
    """The report of six runs, to look at."""
    return written(six_runs(tmp_path_factory.mktemp("reported") / "outputs", compose))


def written(outputs: Path) -> Path:
    runs, problems = find_runs(f"{outputs}/**")
    return Report(outputs / "reports" / "now", runs, problems).write()


def test_the_page_has_everything_and_says_what_to_use(page):
    reader = checked(page)
    for section in SECTIONS:
        assert section in reader.text
    assert "use freeze2: better than scratch." in reader.text
    assert (
        "freeze2 from bipedal_walker: better, by less than the margin, gain +3 [3, 3] return, 3 seeds (p 0"
        in reader.text
    )
    assert "M learns the latents of another V: freeze2" in reader.text
    assert "Ha & Schmidhuber 2018 (arXiv:1803.10122) has 64 individuals × 16 rollouts, ours 24 × 2" in reader.text
    assert "vision.encoder fresh copied, 34,400 of 690,144 frozen" in reader.text
    assert "Left out" not in reader.text


def test_the_same_runs_give_the_same_report(page):
    folder, outputs = page.parent, page.parents[2]
    first = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    assert written(outputs) == page
    second = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert first == second


def test_costs_are_told_with_and_without_the_sources(page):
    text = checked(page).text
    assert "scratch quick evaluate 3 100 50 200 385 0 385 1,000 0 1,000" in text
    assert "freeze2 bipedal_walker quick evaluate 3 100 50 200 385 110 495 1,000 700 1,700" in text


def test_a_source_of_unknown_cost_is_told_as_unknown(outputs):
    for path in outputs.glob("runs/*freeze2*/results.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"source_stages": {}}))
    text = checked(written(outputs)).text
    assert "freeze2 bipedal_walker quick evaluate 3 100 50 200 385 – – 1,000 – –" in text


def test_figures_and_tables_are_files_too(page):
    folder = page.parent
    tables = {path.stem for path in folder.glob("tables/*.csv")}
    assert tables == {
        *("comparisons", "costs", "curves", "evaluations", "heldout", "measures", "parameters", "probes", "runs"),
    }
    rows = list(csv.DictReader((folder / "tables" / "comparisons.csv").open()))
    (row,) = [row for row in rows if (row["part"], row["metric"]) == ("vision", "asymptote")]
    assert float(row["value"]) == pytest.approx(3)
    assert row["negative"] == "False"
    names = {re.sub("[0-9a-f]{6}", "HASH", path.name) for path in folder.glob("figures/*")}
    assert names >= {
        "car_racing-vision-quick-HASH-budget1.svg",
        "car_racing-controller-quick-HASH-budget1-published.svg",
        "car_racing-vision-quick-HASH-gains.svg",
        "car_racing-vision-quick-HASH-scratch-seed0.png",
    }


@pytest.mark.parametrize("stages", [0, 1, 2, 4, 5])
def test_a_run_of_any_stages_is_reported(tmp_path, compose, stages):
    write_run(tmp_path, compose("env=lunar_lander", "vae.epochs=2"), stages=stages, probed=False)
    page = written(tmp_path)
    reader = checked(page) if stages > 1 else Reader(page)
    assert "1 run on lunar_lander" in reader.text
    assert ("No score: it ended with stage=" in reader.text) == (stages < 6)
    assert ("V-kl.svg" in reader.text, "C-returns.svg" in reader.text) == (stages > 1, stages > 4)


def test_what_is_missing_or_damaged_is_named(outputs):
    broken = next(outputs.glob("runs/*seed2*"))
    (broken / "results.json").write_text("{")
    for path in outputs.glob("artifacts/*"):
        shutil.rmtree(path)
    text = checked(written(outputs)).text
    assert f"{broken / 'results.json'} is no JSON" in text
    assert "Reconstructions" not in text


def test_the_page_of_one_run_begins_with_its_score_its_film_and_its_dream(tmp_path, compose):
    config = compose("vae.epochs=2")
    folder = write_run(tmp_path, config)
    Image.new("RGB", (8, 8)).save(folder / "episode.gif")
    (memory,) = tmp_path.glob("artifacts/memory/*")
    Image.new("RGB", (8, 8)).save(memory / "record" / "pictures" / "reality_beside_dream.000400.gif")
    page = written(tmp_path)
    text = checked(page).text
    told = "300 (900 counts as solved); random -30; it has 3 episodes: too few to compare."
    headings = re.findall("<h[12][^>]*>(.*?)</h", page.read_text())
    assert headings[:7] == ["car_racing, scratch, quick, seed 0", *SINGLE]
    assert {*SECTIONS[3:]} < {*headings}
    assert told in text
    assert "300.0 ± 1.0, 95 % if near normal [297.5, 302.5], 3 episodes; random -30.0" in text
    assert "Published: 906 ± 21" in text
    assert page.read_text().count("data:image/gif") == 2
    assert "speed, from z 0.50, fair" in text and "reconstructions that show the car 90%, kept" in text
    assert "vae.epochs 2 5" in text and "What to use when" not in text
    names = {path.name for path in page.parent.glob("figures/*")}
    assert names >= {"V-reconstruction.svg", "V-kl.svg", "M-nll.svg", "C-returns.svg", "M-open-loop.svg"}


def test_tables_have_no_columns_that_say_nothing(tmp_path, compose, page):
    results = write_run(tmp_path, compose("vae.epochs=2")) / "results.json"

    def columns(path):
        return re.findall(
            "<th(?: [^>]*)?>(.*?)</th>", re.sub("<details>.*?</details>", "", path.read_text(), flags=re.S)
        )

    one, six = columns(written(tmp_path)), columns(page)
    assert not {"task", "strategy", "source", "settings", "scale", "seeds", "reused"} & {*one}
    results.write_text(results.read_text().replace('"cached": false', '"cached": true', 1))
    assert {*columns(written(tmp_path))} - {*one} == {"reused"}
    assert {"strategy", "source", "settings", "seeds"} < {*six}
    assert "why no score of the task" not in six


def test_what_too_few_frames_tell_is_no_diagram(tmp_path, compose):
    folder = write_run(tmp_path, compose("vae.epochs=2"))
    results = json.loads((folder / "results.json").read_text())
    for part in results["probes"].values():
        part.pop("objects", None)
        for inputs in part.keys() & {"z", "zh"}:
            for figures in part[inputs].values():
                figures |= {probe: {"r2": None, "interval": None} for probe in ("linear", "mlp")}
    (folder / "results.json").write_text(json.dumps(results))
    page = written(tmp_path)
    assert "Too few frames to tell." in checked(page).text
    assert 'class="bars"' not in page.read_text() and ">Probes<" not in page.read_text()


def test_smoke_gives_no_verdict(tmp_path, compose):
    for seed in range(3):
        for transfer, gain in (("scratch", 0.0), ("freeze2", 3.0)):
            write_run(tmp_path, compose(f"seed={seed}", f"transfer={transfer}", "scale=smoke"), gain)
    page = written(tmp_path)
    text = checked(page).text
    assert text.count("no verdict: smoke is for tests") == 4
    assert "better" not in text.split("How this is judged")[0] and "Transfer matrix" not in text
    assert not (page.parent / "tables" / "comparisons.csv").exists()


def test_what_is_undecided_names_the_command_that_would_decide_it(tmp_path, compose):
    for seed in range(3):
        for transfer, gain in (("scratch", 0.0), ("freeze2", 40.0 * (seed - 0.5))):
            write_run(tmp_path, compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0"), gain)
        write_run(tmp_path, compose(f"seed={seed}", "transfer=freeze_encoder"))
    text = checked(written(tmp_path)).text
    command = "python -m worldmodels.train -m env=car_racing scale=quick transfer=scratch,freeze2 seed=3,4,"
    assert command in text and "To decide it, about" in text
    assert "transfer=scratch,freeze_encoder seed=0,1,2,3,4 transfer.budget=1" in text  # it had half of the data


def test_jobs_that_were_killed_are_named_unless_they_went_on(tmp_path, compose):
    def job(name, overrides, config="env: x\ncontroller:\n  a: 1\n"):
        hydra = tmp_path / "runs" / name / ".hydra"
        hydra.mkdir(parents=True)
        (hydra / "overrides.yaml").write_text(overrides)
        (hydra / "config.yaml").write_text(config)

    write_run(tmp_path, compose("vae.epochs=2"), stages=2, name="done")
    job("done", "- seed=0")
    job("went on as done", "- seed=0")
    job("killed", "- seed=1")
    job("a report", "- runs=x", config="runs: x\n")
    _, (problem,) = find_runs(f"{tmp_path}/**")
    assert problem.startswith(f"{tmp_path / 'runs' / 'killed'} has no results.json: the job was interrupted")


def test_names_from_results_cannot_break_the_page(tmp_path, compose):
    folder = write_run(tmp_path, compose("vae.epochs=2"), stages=2)
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"transfer": "scratch"', '"transfer": "<b>/../x & y"'))
    reader = checked(written(tmp_path))
    assert "<b>/../x & y" in reader.text


@pytest.mark.slow
def test_real_runs_are_reported_by_the_command(finished: Callable[[str], Finished], commands: Commands) -> None:
    outputs = finished("lander_reconstruction").outputs
    folder = commands.outputs / "reports" / "now"
    output = commands.run("report", f"runs={outputs}/**/*-1.0-*", f"hydra.run.dir={folder}")
    assert f"2 runs; results: {folder / 'index.html'}" in output
    text = checked(folder / "index.html").text
    assert "no verdict: smoke is for tests" in text
    assert len(list(folder.glob("figures/*.png"))) == 2


def test_no_match_exits_with_2_and_one_line(commands: Commands) -> None:
    folder = commands.outputs / "reports" / "now"
    for runs in ("nowhere/*", "3", "[]"):
        output = commands.run("report", f"runs={runs}", f"hydra.run.dir={folder}", expect=2)
        (line,) = [line for line in output.splitlines() if line.strip()]
        assert line.startswith("error: runs=")
        assert "expected" in line
    assert not folder.exists()


def test_help_tells_how_to_choose_runs(commands: Commands) -> None:
    assert "runs='outputs/**'" in commands.run("report", "--help")
