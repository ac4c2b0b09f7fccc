"""Dreams of an exported page, beside Python's."""

import dataclasses
import json

import numpy as np

from worldmodels.playing.export import rounded, write
from worldmodels.playing.page import FOLDER
from worldmodels.playing.session import Session

STEPS = 12
ASKED = {"ends": False, "begin": [1, 5], "temperature": 1.3}
PLAY = """
const session = new Session(DATA);
session.handle(ASKED);
const seen = [];
for (let step = 0; step < STEPS; step++) {
  session.handle({ keys: HELD[step % HELD.length], agent: step >= STEPS - 4 && DATA.greeting.agent });
  session.step();
  seen.push({ facts: session.facts(), z: [...session.dream.z], pictures: [...session.pictures()] });
}
"""


def exported(played, folder):
    """The page, and the script that it holds without what shows it."""
    path = folder / "page.html"
    assert write(played, path) == path.stat().st_size < 20e6
    text = path.read_text(encoding="utf-8")
    data = text[text.index("const DATA") : text.index("</script>")]
    return path, f"{data}\n{(FOLDER / 'dream.js').read_text(encoding='utf-8')}"


def play(held, asked):
    """The JavaScript that plays and leaves what it has seen in ``seen``."""
    return f"const STEPS = {STEPS}, HELD = {json.dumps(held)}, ASKED = {json.dumps(asked)};\n{PLAY}"


def in_python(played, held, asked):
    """What `play` gives, with the weights that the page holds."""
    model = played.model
    model = dataclasses.replace(model, vision=rounded(model.vision), memory=rounded(model.memory))
    session, seen = Session(dataclasses.replace(played, model=model)), []
    session.handle(asked)
    for step in range(STEPS):
        agent = step >= STEPS - 4 and played.controller is not None
        session.handle({"keys": held[step % len(held)], "agent": agent})
        session.step()
        seen.append(
            {"facts": session.facts(), "z": session.dream.z[0].tolist(), "pictures": session.pictures().ravel()}
        )
    return seen


def assert_same_dream(seen, played, held, asked=ASKED):
    """To float rounding: a colour is another whole number in few places. Returns what Python's dream told."""
    expected = in_python(played, held, asked)
    assert len(seen) == STEPS
    for there, here in zip(seen, expected, strict=True):
        np.testing.assert_allclose(there["z"], here["z"], atol=1e-4)
        off = np.abs(np.array(there["pictures"]) - here["pictures"].astype(int))
        assert off.max() <= 1 and (off > 0).mean() < 0.01
        for facts in (there["facts"], here["facts"]):
            facts["action"] = np.round(facts["action"], 4).tolist()
            dream = facts["dream"]
            facts["dream"] = {name: value and round(value, 3) for name, value in dream.items()}
        assert there["facts"] == here["facts"]
    return [here["facts"] for here in expected]
