"""Episodes that an earlier evaluation has played."""

import json

import pytest

from worldmodels.store.earlier import take_over

AGENT = {"controller": "abc", "seed": 3, "env": {"id": "Mine-v0", "kwargs": {"wind": 0.5}}}


def evaluation(folder, agent, rows):
    (folder / "record").mkdir(parents=True)
    (folder / "record" / "agent.json").write_text(json.dumps(agent))
    (folder / "record" / "episodes.jsonl").write_text("row\n" * rows)
    return folder


def rows(folder):
    path = folder / "record" / "episodes.jsonl"
    return path.read_text().count("row") if path.exists() else 0


def test_the_longest_evaluation_of_the_same_agent_is_gone_on_with(tmp_path):
    for name, agent, count in (("a", AGENT, 2), ("b", AGENT, 5), ("c", {**AGENT, "seed": 4}, 9)):
        evaluation(tmp_path / name, agent, count)
    take_over(tmp_path / "new", tmp_path, AGENT)
    assert rows(tmp_path / "new") == 5
    assert rows(tmp_path / "b") == 5
    assert json.loads((tmp_path / "new" / "record" / "agent.json").read_text()) == AGENT


@pytest.mark.parametrize("change", [{"controller": "abd"}, {"env": {"id": "Mine-v0", "kwargs": {}}}, {"code": "e5"}])
def test_episodes_of_another_agent_are_dropped(tmp_path, change):
    folder = evaluation(tmp_path / "a", AGENT, 5)
    take_over(folder, tmp_path, AGENT | change)
    assert rows(folder) == 0


def test_an_evaluation_goes_on_in_its_own_folder(tmp_path):
    folder = evaluation(tmp_path / "a", AGENT, 2)
    evaluation(tmp_path / "b", AGENT, 5)
    take_over(folder, tmp_path, AGENT)
    assert rows(folder) == 2


def test_what_cannot_be_read_is_of_nobody(tmp_path):
    folder = evaluation(tmp_path / "a", AGENT, 5)
    (folder / "record" / "agent.json").write_text("{")
    take_over(tmp_path / "new", tmp_path, AGENT)
    assert rows(tmp_path / "new") == 0
