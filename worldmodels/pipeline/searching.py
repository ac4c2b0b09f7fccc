"""A search for C's parameters, generation by generation: ask, score, tell."""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from worldmodels.config import Config
from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.coordinates import make_readout, make_scaling, search_space
from worldmodels.controller.incumbent import Incumbent, measure_of, score_of
from worldmodels.controller.inputs import dreams, read_inputs
from worldmodels.controller.phases import PhasedSearch, phase_at
from worldmodels.controller.policy import Shape
from worldmodels.controller.readout import ReadOut
from worldmodels.controller.warm_start import ON_READOUT, Source, first_covariance, first_parameters, kept_covariance
from worldmodels.pipeline.scoring import Scorer, search_seed
from worldmodels.rollouts.executor import Executor
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.utils.progress import duration
from worldmodels.utils.seeds import episode_seed
from worldmodels.utils.words import number_of

log = logging.getLogger(__name__)
TABLE = "generations"


def run(
    config: Config,
    vision: Path | None,
    memory: Path | None,
    outputs: int,
    source: Source | None,
    executor: Executor,
    folder: Path,
    journal: Journal,
    encoded: Path | None = None,
    dataset: Path | None = None,
) -> dict[str, Any]:
    """Write ``weights.safetensors`` with the search's ``mean``, its ``best`` individual, and the ``agent``: the mean
    that validated best, or the last one; and its last ``covariance``, where it has one. A row of the journal is a
    finished generation; its ``fitness`` restores the search. ``source``: whose agent the search starts from.
    ``encoded``: rollouts as V sees them, to standardise C's inputs, and where dreams begin; ``dataset``: the same with
    their true states, for a C that knows them or a read-out of them.
    """
    settings, sizes = search_space(config)
    shape = Shape(sum(sizes.values()), outputs, settings.hidden)  # of what is searched
    start = first_parameters(source, config, outputs) if source else None
    looked = source.weights.parent if source and start is not None else None
    readout = make_readout(config, memory, encoded, dataset, folder, looked)
    scaling = make_scaling(config, shape, memory, encoded, dataset, folder, readout)
    covariance = first_covariance(source, config, scaling) if source and start is not None else None
    seed, after = search_seed(config), config.controller.after
    seed = episode_seed(seed, "controller", 5, after) if after else seed
    search = PhasedSearch(settings, sizes, scaling, seed, start, covariance)

    searching = Searching(config, search, readout, Scorer(config, vision, memory, encoded, executor), journal)
    searching.restore()
    _warn_of_closed_inputs(config.controller)
    while searching.ended_by is None:
        searching.play_generation()
    searching.save(folder)
    return {"parameters": len(search.mean), "ended_by": searching.ended_by, TABLE: journal.rows(TABLE)}


class Searching:
    """A search under way: its mean that validated best so far, and the ``seconds`` that it took."""

    def __init__(
        self, config: Config, search: PhasedSearch, readout: ReadOut | None, scorer: Scorer, journal: Journal
    ) -> None:
        self.settings, self.search, self.readout, self.scorer = config.controller, search, readout, scorer
        self.journal, self.incumbent, self.seconds = journal, Incumbent(search.mean), 0.0
        self._measure: str | None = None

    @property
    def ended_by(self) -> str | None:
        """The setting that ends the search now; None where it goes on."""
        settings, score = self.settings, self.incumbent.of("reality")
        if self.search.generation >= settings.generations:
            return "generations"
        if settings.target is not None and score is not None and score >= settings.target:
            return "target"
        return "max_minutes" if settings.max_minutes is not None and self.seconds >= 60 * settings.max_minutes else None

    def restore(self) -> None:
        """Tell the search what the journal has, so that it is as it was."""
        settings = self.settings
        self.journal.rewind(generations=settings.generations)
        finished = self.journal.rows(TABLE)
        for row in finished:
            self.search.ask()
            self.search.tell(row["fitness"])
            measure = measure_of(phase_at(settings, row["generation"]))
            self.incumbent.consider(self.search.mean, score_of(row), measure)
        self.seconds = sum(row["seconds"] for row in finished)
        if finished:
            log.info("  going on after %d of %s", len(finished), number_of(settings.generations, "generation"))

    def play_generation(self) -> None:
        """Ask for a generation, score it and tell the search; validate the search's mean where it is time."""
        settings, search, scorer = self.settings, self.search, self.scorer
        generation, started = search.generation + 1, time.perf_counter()
        phase = phase_at(settings, generation)
        self._announce(phase)
        inputs = search.inputs if self.readout is None else list(settings.inputs)
        fitness = scorer.returns(self._played(search.ask()), inputs, phase, generation).mean(axis=1)
        search.tell(fitness.tolist())
        row: dict[str, Any] = {
            "generation": generation,
            "best": float(fitness.max()),
            "mean": float(fitness.mean()),
            "worst": float(fitness.min()),
            "std": float(fitness.std(ddof=1)),
        }
        if settings.validate_every and generation % settings.validate_every == 0:
            row |= scorer.validation(self._played(search.mean), inputs, phase)
            self.incumbent.consider(search.mean, score_of(row), measure_of(phase))
        seconds = time.perf_counter() - started
        self.seconds += seconds
        row |= {"seconds": seconds, "fitness": fitness.tolist()}
        self.journal.row(TABLE, "generation", row)
        self._tell(row)
        if settings.film and "validation" in row:
            scorer.film(self._played(search.mean), inputs, self.journal, generation)

    def save(self, folder: Path) -> None:
        """Write the weights that the search ends with."""
        search, incumbent = self.search, self.incumbent
        scored = incumbent.of(measure_of(phase_at(self.settings, search.generation))) is not None
        kept = {
            "mean": search.mean,
            "best": search.best,
            "agent": incumbent.chosen if scored else search.mean,
        }
        weights = {name: self._controller(parameters) for name, parameters in kept.items()}
        if self.settings.readout == "salience":  # for a search that goes on from here, on another M
            weights[ON_READOUT] = kept["agent"]
        save_file({**weights, **kept_covariance(self.settings, search)}, folder / WEIGHTS)

    def _controller(self, searched: np.ndarray) -> np.ndarray:
        """C's parameters from those that are searched, which may be of a C that acts on a read-out."""
        return searched if self.readout is None else self.readout.to_controller(searched, self.search.shape)

    def _played(self, searched: np.ndarray) -> np.ndarray:
        """The same for a C that reads the open inputs only."""
        return self._controller(self.search.narrow(searched))

    def _announce(self, phase: PhaseConfig) -> None:
        """Log what begins with the next generation: a search, and where it is scored."""
        if announcement := self.search.begins():
            inputs = " and ".join(self.search.inputs)
            acts_on = inputs if self.readout is None else f"what is read out ({self.settings.readout})"
            log.info("  %s, C acts on %s", announcement, acts_on)
        if self._measure != (measure := measure_of(phase)) and dreams(self.settings):
            log.info("  C is scored in %s", "the task" if measure == "reality" else measure)
        self._measure = measure

    def _tell(self, row: Mapping[str, Any]) -> None:
        """Log a generation."""
        settings, generation = self.settings, row["generation"]
        validated = "  validation %(validation).1f ± %(validation_std).1f" if "validation" in row else ""
        validated = f"  held-out dreams %(dream).1f ± %(dream_std).1f{validated}" if "dream" in row else validated
        left = seconds_left(settings, generation, self.seconds, row["seconds"])
        remaining = f", about {duration(left)} left" if generation < settings.generations else ""
        log.info(
            "  generation %(generation)d: best %(best).1f  mean %(mean).1f  worst %(worst).1f  std %(std).1f"
            f"{validated}  (%(seconds).1f s{remaining})",
            row,
        )


def seconds_left(settings: ControllerConfig, generation: int, spent: float, last: float) -> float:
    """Seconds until the search ends by its generations or its minutes, if every generation is as long as the last."""
    limit = math.inf if settings.max_minutes is None else max(0.0, 60 * settings.max_minutes - spent)
    return min(limit, (settings.generations - generation) * last)


def _warn_of_closed_inputs(settings: ControllerConfig) -> None:
    """Say which of C's inputs open only after the last generation."""
    if closed := [name for name in settings.inputs if name not in read_inputs(settings)]:
        log.warning(
            "  C reads %s: %s would open after generation %d, the last; set controller.phases=[] or more generations",
            ", ".join(read_inputs(settings)),
            ", ".join(closed),
            settings.generations,
        )
