"""What figures mean, in words."""

import pytest

from worldmodels.config import Config, plain
from worldmodels.store.goals import published, solved_at
from worldmodels.store.wording import (
    beyond_search,
    deviation,
    forecasts_in_words,
    judged,
    latent_in_words,
    r2_grade,
    r2_text,
    recall_grade,
    score_in_words,
)
from worldmodels.utils.statistics import describe

CONFIG = plain(Config())
RANDOM = {"random": describe([-27.0, -29.0]), "official": True}


def score(returns, **facts):
    return {**describe(returns), **RANDOM, **facts}


@pytest.mark.parametrize(
    ("task", "goal"),
    [("car_racing", 900), ("lunar_lander", 200), ("bipedal_walker", 300), ("take_cover", 750), ("pendulum", None)],
)
def test_a_task_says_what_counts_as_solved(compose, task, goal):
    assert solved_at(plain(compose(f"env={task}"))) == goal


def test_the_user_says_what_counts_as_solved(compose):
    assert solved_at(plain(compose("env.solved=5"))) == 5
    assert solved_at({"env": {"name": "mine", "id": "mypackage:Mine-v0"}}) is None, "imports nothing of anybody"
    assert solved_at({"env": {"name": "mine", "id": "Nowhere-v9"}}) is None
    assert published(CONFIG) is not None and published({"env": {"name": "mine"}}) is None


def test_a_score_in_words():
    few = score([165.0, 166.0, 167.0])
    assert score_in_words(few, CONFIG) == (
        "166 (900 counts as solved); random -28; it has 3 episodes: too few to compare"
    )
    many = score([950.0] * 50 + [900.0] * 50)
    low, high = many["interval"]
    told = f"random -28; 95 % [{low:.0f}, {high:.0f}] over 100 episodes"
    assert score_in_words(many, CONFIG) == f"925, solved (900 counts as solved); {told}"
    assert judged(few, CONFIG) == "900 counts as solved; 3 episodes: too few to compare"
    assert judged(many, CONFIG) == "solved: 900 counts as solved"
    lucky = score([917.5])
    assert score_in_words(lucky, CONFIG) == (
        "918 (900 counts as solved); random -28; it has 1 episode: too few to compare"
    )
    assert judged(lucky, CONFIG) == "900 counts as solved; 1 episode: too few to compare"
    assert judged(many, {"env": {"name": "mine", "id": "Nowhere-v9"}}) == ""
    assert (deviation(lucky), deviation(few)) == ("–", "1.0")
    cut = {**many, "official": False, "unofficial": "episodes end after 60 steps"}
    assert score_in_words(cut, CONFIG) == (
        f"925 (900 counts as solved); {told}; not the official task: episodes end after 60 steps"
    )


def test_why_a_score_is_below_the_search():
    searched = {"generations": [{"mean": 346.0}]}
    results = {"controller": searched, "evaluation": score([166.0, 167.0]), "config": CONFIG}
    assert "last population mean, 346, is higher" in (beyond_search(results) or "")
    assert beyond_search({**results, "evaluation": score([400.0, 401.0])}) is None
    assert beyond_search({**results, "controller": {"generations": [{"mean": 346.0, "dream": 1.0}]}}) is None


@pytest.mark.parametrize(
    ("value", "text", "grade"),
    [
        (None, "–", "too few frames"),
        (-3559.84, "none", "none"),
        (0.0, "0.00", "0.00, weak"),
        (0.498, "0.50", "0.50, fair"),
        (0.83, "0.83", "0.83, good"),
    ],
)
def test_an_r2_below_0_is_none(value, text, grade):
    assert (r2_text(value), r2_grade(value)) == (text, grade)


def test_what_is_kept_and_what_carries_nothing():
    assert [recall_grade(share) for share in (0.0, 0.6, 0.97)] == ["0%, lost", "60%, often lost", "97%, kept"]
    assert "next to nothing" in (latent_in_words(0.3) or "")
    assert latent_in_words(15.0) is latent_in_words(None) is None


def measured(persistence, actions):
    def by_horizon(values):
        return {f"horizon_{horizon}": value for horizon, value in zip((1, 10, 100), values, strict=True)}

    return {
        "open_loop": {"horizons": [1, 10, 100]},
        "summary": {"beats_persistence": by_horizon(persistence), "uses_actions": by_horizon(actions)},
    }


@pytest.mark.parametrize(
    ("persistence", "actions", "told"),
    [
        ((False, True, None), (False, False, None), ["better than holding the last frame over 10 steps", "do not"]),
        ((True, True, True), (True, True, False), ["at every horizon", "follow the actions over 1, 10 steps"]),
        ((False, False, False), (False, True, None), ["nowhere better", "over 10 steps"]),
        ((None, None, None), (None, None, None), ["too short"]),
    ],
)
def test_forecasts_in_words(persistence, actions, told):
    found = list(forecasts_in_words(measured(persistence, actions)))
    assert len(found) == len(told) and all(part in line for part, line in zip(told, found, strict=True))
