"""Which tests run together, and in which order: each group goes to one worker, what takes long begins first.

Here rather than in marks, which a worker knows and the scheduler does not: it sees the names of tests alone.
"""

from xdist.scheduler import LoadScopeScheduling

# The tests of a group share what takes long to make. A name is the start of a test's after the folder ``tests``.
GROUPS = {
    "studies": (
        "experiments/test_agent_transfer.py::test_sweeps",
        "experiments/test_memory_transfer.py::test_sweeps",
        "experiments/test_vision_transfer.py::test_vision",
    ),
    "lander_reconstruction": (
        "test_resume.py::test_a_studys_sweep",
        "experiments/test_vision_transfer.py::test_lander",
        "test_report.py::test_real_runs",
    ),
    "car_racing": (
        "test_train.py::test_the_joblib",
        "test_train.py::test_a_task_from_nothing_to_a_score[car_racing]",
        "test_train.py::test_a_finished_run_is_reused[car_racing]",
        "test_train.py::test_a_search_is_warm",
        "test_train.py::test_training_is_skipped",
    ),
    "lunar_lander": (
        "test_train.py::test_evaluate_dream",
        "test_train.py::test_a_task_from_nothing_to_a_score[lunar_lander]",
        "test_train.py::test_a_finished_run_is_reused[lunar_lander]",
        "test_train.py::test_only_what_depends",
        "test_environment.py::test_without_ffmpeg",
        "experiments/test_first_look.py",
        "experiments/test_memory_quality.py",
        "docs/test_results.py",
        "docs/test_snippets.py",
        "test_api.py",
    ),
    "killed": ("test_resume.py::test_killed",),
    "interrupted sweep": ("test_environment.py::test_ctrl_c",),
    "own executor": ("examples/test_doors.py::test_an_executor",),
    "bipedal_walker": (
        "test_train.py::test_a_task_from_nothing_to_a_score[bipedal_walker]",
        "test_train.py::test_a_finished_run_is_reused[bipedal_walker]",
        "test_train.py::test_a_source_of_other_sizes",
    ),
    "own models": ("examples/test_own_models.py",),
    "strategies": ("test_train.py::test_a_sweep_over", "test_train.py::test_further"),
    "examples": ("examples/",),
}
# Files that take seconds, those first that wait in between. Each file is a group, of the tests that are in no other.
LONG = (
    *("rollouts/test_cluster.py", "utils/test_launchers.py", "training/test_distributed.py"),
    *("pipeline/test_iterations.py", "experiments/test_ladder.py", "experiments/test_lander_vision.py"),
    *("test_config.py", "rollouts/test_executor.py", "envs/test_renderers.py", "test_report.py", "test_commands.py"),
    *("controller/test_agent.py", "training/test_progress.py", "test_environment.py"),
    *("pipeline/stages/test_evaluate.py", "training/test_fit.py", "training/test_checkpoints.py"),
    *("playing/test_browser.py", "playing/test_export.py", "experiments/test_sweeps.py"),
    *("diagnostics/test_measures.py", "rollouts/test_engine.py", "training/test_flags.py", "reports/test_verdict.py"),
    *("store/test_fingerprint.py", "pipeline/test_pipeline.py", "store/test_results.py", "pipeline/test_keys.py"),
    *("pipeline/", "rollouts/", "test_", "vision/", "experiments/", "store/", "training/"),
)
PLACES = {name: place for place, name in enumerate((*GROUPS, *LONG))}


def group(nodeid: str) -> str:
    name = nodeid.removeprefix("tests/")
    return next((key for key, starts in GROUPS.items() if name.startswith(starts)), name.partition("::")[0])


def place(nodeid: str) -> int:
    """The number of a test's group in the order of work."""
    name = group(nodeid)
    return PLACES.get(name, next((PLACES[start] for start in LONG if name.startswith(start)), len(PLACES)))


class Schedule(LoadScopeScheduling):
    """Work in the order of the collected tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
