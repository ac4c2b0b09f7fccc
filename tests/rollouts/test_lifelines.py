"""What a command on a cluster hangs on, with sockets in the places of the head and the node."""

import socket
from types import SimpleNamespace

import pytest

from worldmodels.rollouts import lifelines
from worldmodels.rollouts.cluster import RayExecutor
from worldmodels.rollouts.lifelines import Lifelines, answers, place
from worldmodels.utils.errors import Failure


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand, in a process that has lost nothing yet."""
    now = [0.0]
    monkeypatch.setattr(lifelines, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(lifelines, "_lost", [])
    return now


@pytest.fixture
def head():
    """A server that can be there and away, at one port."""
    servers = [socket.create_server(("127.0.0.1", 0))]
    where = servers[0].getsockname()
    yield where, lambda: servers.pop().close(), lambda: servers.append(socket.create_server(where))
    for server in servers:
        server.close()


def test_the_head_may_be_away_for_a_while_also_where_nobody_has_asked_for_long(clock, head):
    where, goes, comes = head
    lines = Lifelines({"its head": (where, 20.0)})
    lines.require()
    goes()
    for clock[0] in (600.0, 610.0, 619.0):  # a training in between
        lines.require()
    comes()
    clock[0] = 625.0
    lines.require()
    goes()
    for clock[0] in (630.0, 649.0):
        lines.require()
    clock[0] = 650.0
    with pytest.raises(Failure, match=r"^the Ray cluster has lost its head, .*executor=process$"):
        lines.require()
    comes()
    clock[0] = 660.0
    with pytest.raises(Failure, match="lost its head"):  # for good
        lines.require()


def test_the_node_is_gone_at_once(clock, head):
    where, goes, _ = head
    lines = Lifelines({"its node on this machine": (where, 0.0)})
    goes()
    lines.require()  # it is not asked more than once a second
    clock[0] = 1.0
    with pytest.raises(Failure, match="lost its node on this machine"):
        lines.require()


def test_where_there_is_a_reason_it_is_asked_at_once(clock, head):
    where, goes, _ = head
    lines = Lifelines({"its node on this machine": (where, 0.0)})
    lines.require(at_once=True)
    goes()
    with pytest.raises(Failure, match="lost its node on this machine"):
        lines.require(at_once=True)


def test_a_socket_of_a_path_answers_while_somebody_listens(tmp_path):
    path = str(tmp_path / "raylet")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert answers(path)
    assert not answers(path)
    assert not answers(str(tmp_path / "none"))


@pytest.mark.parametrize("address", ["..:6379", f"{'a' * 80}:6379", "127.0.0.1:99999"])
def test_where_nothing_can_be_nothing_answers(address):
    assert not answers(place(address))


def test_a_cluster_that_is_gone_is_left_alone(clock, tmp_path):
    """Each call of Ray's would end the process."""
    pytest.importorskip("ray", reason="needs the extra ray")
    executor = RayExecutor(1)
    executor._connected = executor._ours = True
    executor._lifelines = Lifelines({"its node on this machine": (str(tmp_path / "none"), 0.0)})
    executor._ray = None
    executor.close()
    with pytest.raises(Failure, match="lost its node on this machine"):
        list(executor.map(None, [0]))
