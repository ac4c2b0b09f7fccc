"""The page in a real browser, Debian's Chromium without a window."""

import re
import shutil
import urllib.request

import pytest
from helpers import wait_for
from pages import ASKED, assert_same_dream, exported, play

from worldmodels.playing.export import write
from worldmodels.playing.server import bind
from worldmodels.playing.session import Played
from worldmodels.store.runs import FinishedRun

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEADS = ("memory.network.reward_head=gaussian", "memory.network.end_head=true")
HELD = [["ArrowUp"], ["ArrowUp", "ArrowRight"], []]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page of a laptop's size, in which nothing may go wrong."""
    shown, wrong = browser.new_page(viewport={"width": 1280, "height": 800}), []
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield shown
    shown.close()
    assert wrong == []


@pytest.fixture
def address(run, commands):
    """Of the live page."""
    with bind(0) as free:
        port = free.getsockname()[1]
    process = commands.start("play", f"run={run}", f"port={port}", "starts=2")

    def answers():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/").status == 200
        except OSError:
            return False

    try:
        wait_for(answers, process)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(9)


def until(page, name, pattern):
    """Wait for what the page writes in a place."""
    page.wait_for_function(
        "([name, pattern]) => new RegExp(pattern).test(document.getElementById(name).textContent)", arg=[name, pattern]
    )


def picture(page, name):
    return page.evaluate("(name) => document.getElementById(name).toDataURL()", name)


def drive(page):
    """What a person does on either page."""
    until(page, "dream-facts", r"^step \d+ .*reward .*return .*end ")
    until(page, "rate", r"^[1-9]\d* frames/s$")
    if page.is_checked("#ends"):
        page.uncheck("#ends")
    page.keyboard.press("Enter")
    until(page, "dream-facts", r"^step ")
    assert page.input_value("#seed") == "1"
    page.keyboard.down("ArrowUp")
    until(page, "action", r"action 1\.0 0\.0")
    assert page.locator("kbd.down").all_text_contents() == ["↑"]
    page.keyboard.down("ArrowLeft")
    until(page, "action", r"action 1\.0 −1\.0")
    page.keyboard.up("ArrowUp")
    page.keyboard.up("ArrowLeft")
    until(page, "action", r"action 0\.0 0\.0")
    page.focus("#temperature")
    page.keyboard.press("ArrowRight")
    until(page, "temperature-value", r"^1\.05$")
    page.keyboard.press("Escape")  # leaves the slider, and pauses
    until(page, "state", "paused")
    page.click("#starts button:nth-child(2)")
    until(page, "dream-facts", r"^step 0")
    before = picture(page, "dream")
    page.fill("#seed", "7")
    page.keyboard.press("Tab")
    page.wait_for_function("(before) => document.getElementById('dream').toDataURL() !== before", arg=before)
    page.click("#pause")
    until(page, "dream-facts", r"^step [1-9]")
    page.check("#agent")
    until(page, "action", r"[1-9]")


def test_the_live_page_is_driven(page, address):
    page.goto(address)
    drive(page)
    page.uncheck("#agent")
    first = picture(page, "task")
    page.check("#play-task")
    until(page, "task-facts", r"^step [1-9].*reward .*return ")
    assert picture(page, "task") != first
    assert "of the frame beside it" in page.inner_text("#seen-facts")


def test_the_exported_page_is_driven_and_dreams_as_python_does(page, played, tmp_path):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    path, _ = exported(played, tmp_path)
    page.goto(path.as_uri())
    drive(page)
    assert not page.is_visible("#play-task")
    assert [url for url in asked if not re.match("data:", url)] == [path.as_uri()]
    assert_same_dream(page.evaluate(f"() => {{ {play(HELD, ASKED)}\nreturn seen; }}"), played, HELD)


@pytest.mark.parametrize("temperature", [1.33, 0.1234])
def test_the_slider_shows_what_is_in_force_and_moves_by_notches(page, played, tmp_path, temperature):
    path = tmp_path / "page.html"
    write(played, path, temperature)
    page.goto(path.as_uri())
    until(page, "temperature-value", f"^{temperature}$")
    assert float(page.input_value("#temperature")) == temperature
    page.focus("#temperature")
    page.keyboard.press("ArrowLeft")
    until(page, "temperature-value", r"^\d\.\d[05]$")
    assert float(page.input_value("#temperature")) == pytest.approx(temperature - 0.05, abs=0.025)
    page.keyboard.press("Home")
    until(page, "temperature-value", r"^0\.05$")
    page.keyboard.press("ArrowUp")
    until(page, "temperature-value", r"^0\.10$")


def test_a_page_that_is_loaded_again_shows_what_its_session_does(page, address):
    page.goto(address)
    until(page, "dream-facts", r"^step [1-9]")
    page.check("#agent")
    page.check("#play-task")
    page.uncheck("#ends")
    page.fill("#seed", "7")
    page.keyboard.press("Tab")
    page.reload()
    until(page, "dream-facts", r"^step \d")
    assert [page.is_checked(f"#{name}") for name in ("agent", "play-task", "ends")] == [False, False, True]
    assert page.input_value("#seed") == "0"


def test_a_finger_drives_on_a_narrow_screen(page, played, tmp_path):
    page.set_viewport_size({"width": 390, "height": 844})
    path, _ = exported(played, tmp_path)
    page.goto(path.as_uri())
    until(page, "dream-facts", r"^step [1-9]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    key = page.locator("kbd[data-key=ArrowUp]")
    key.hover()
    page.mouse.down()
    assert page.evaluate("[...held]") == ["ArrowUp"] and "down" in key.get_attribute("class")
    page.mouse.up()
    assert page.evaluate("[...held]") == []


@pytest.mark.parametrize("task", ["bipedal_walker", "lunar_lander"])
def test_all_of_the_page_is_in_sight_on_a_laptop(page, make_run, tmp_path, task):
    path = tmp_path / "page.html"
    run = make_run(f"env={task}", "memory.network.hidden_size=4", *HEADS)
    write(Played.of(FinishedRun(run), 12), path)
    page.goto(path.as_uri())
    until(page, "dream-facts", r"^step \d")
    box = page.locator("#starts").bounding_box()
    assert box["y"] + box["height"] <= 800
