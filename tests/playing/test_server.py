"""The live page as a browser sees it: messages, frames, and who may ask."""

import json
import re
import signal
import sys
import urllib.request

import numpy as np
import pytest
from helpers import wait_for
from omegaconf import OmegaConf
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

from worldmodels.config import conf_dir
from worldmodels.play import PlayCommand, play
from worldmodels.playing import COLDEST, HOTTEST
from worldmodels.playing.server import application, bind
from worldmodels.playing.session import data_url
from worldmodels.utils.errors import ConfigError

ORIGIN = {"origin": "http://127.0.0.1"}


@pytest.fixture
def client(played):
    return TestClient(application(played, 1.0, 0), base_url="http://127.0.0.1")


@pytest.fixture
def page(client):
    with client.websocket_connect("ws://127.0.0.1/play", headers=ORIGIN) as socket:
        yield socket


def frame(page, condition=lambda facts: True):
    """The facts and the pictures of the first frame that meets it, of the next 500."""
    for _ in range(500):
        message = page.receive_bytes()
        length = int.from_bytes(message[:4], "big")
        facts = json.loads(message[4 : 4 + length])
        if condition(facts):
            return facts, np.frombuffer(message[4 + length :], np.uint8).reshape(3, 64, 64, 3)
    raise AssertionError(f"no such frame comes; the last one is {facts}")


def test_the_page_needs_nothing_from_elsewhere(client):
    text = client.get("/").text
    assert "<canvas" in text and "new WebSocket" in text and "<!-- scripts -->" not in text
    assert not re.search(r"https?://|<link[^>]+href=\"[^d]|src=|@import|url\(", text)


def test_a_person_drives(played, page):
    greeting = page.receive_json()
    assert [key["key"] for key in greeting["keys"]] == ["ArrowLeft", "ArrowRight", "ArrowUp"]
    assert (greeting["name"], greeting["fps"], greeting["agent"]) == ("lunar_lander", 50, True)
    assert greeting["starts"] == [data_url(start.frame) for start in played.starts]
    page.send_json({"ends": False, "begin": [2, 9], "keys": ["ArrowUp"]})
    facts, pictures = frame(page, lambda facts: facts["action"] == [1, 0])
    assert facts["task"] is None
    assert np.array_equal(pictures[2], played.starts[2].frame)
    later, other = frame(page, lambda facts: facts["dream"]["step"] > 5)
    assert later["dream"]["total"] != facts["dream"]["total"] and not np.array_equal(pictures[0], other[0])
    page.send_json({"temperature": 0.5, "task": True})
    assert frame(page, lambda facts: facts["task"])[0]["task"]["step"] < 5
    page.send_json({"keys": [], "agent": True})
    frame(page, lambda facts: facts["action"] not in ([0, 0], [1, 0]))
    page.send_json({"agent": False, "pause": True, "begin": [0, 1]})
    facts, pictures = frame(page, lambda facts: facts["dream"]["step"] == 0)
    assert facts["task"]["step"] == 0
    assert np.array_equal(pictures[2], played.starts[0].frame)


@pytest.mark.parametrize("message", ['{"temperature": 99}', "[]", "{"])
def test_nonsense_ends_the_connection_with_a_reason(page, message):
    page.receive_json()
    page.send_text(message)
    with pytest.raises(WebSocketDisconnect) as caught:
        frame(page, lambda facts: False)
    assert caught.value.code == 1008 and caught.value.reason


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:1"}])
def test_pages_of_other_sites_get_no_frames(client, headers):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1/play", headers=headers):
        pass


def test_a_foreign_name_for_this_machine_gets_no_page(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_port_that_is_taken_is_refused(played):
    with bind(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        bound.listen()
        with pytest.raises(ConfigError, match="expected a free one; port=0"):
            bind(bound.getsockname()[1])


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            return answer.read()
    except OSError:
        return None


def test_the_command_serves_until_it_is_interrupted(run, commands):
    with bind(0) as free:
        port = free.getsockname()[1]
    process = commands.start("play", f"run={run}", f"port={port}", "starts=1")
    try:
        wait_for(lambda: answers(port), process)
        assert b"new WebSocket" in answers(port)
        with connect(f"ws://127.0.0.1:{port}/play", origin=f"http://127.0.0.1:{port}") as page:  # open as it ends
            assert json.loads(page.recv())["name"] == "lunar_lander"
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=60)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    assert (process.returncode, printed) == (0, f"http://127.0.0.1:{port}/ plays until Ctrl-C\n")


def test_the_help_tells_the_temperatures_that_there_are():
    assert f"slider begins, {COLDEST:g} to {HOTTEST:g}\n" in (conf_dir() / "play.yaml").read_text(encoding="utf-8")


def test_without_the_extra_a_line_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"^[^\n]*pip install 'worldmodels\[play\]'[^\n]*$"):
        play(OmegaConf.structured(PlayCommand(run=str(run))))
