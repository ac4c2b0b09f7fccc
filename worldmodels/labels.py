"""What a run is called in the name of its folder, which is its name in TensorBoard too."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from worldmodels.utils.overrides import every_key, setting_at
from worldmodels.utils.settings import Part
from worldmodels.utils.sweeps import differing

CHANGES_RESULTS = False  # names of folders
LONGEST = 60  # characters of the task, and of what was typed
LEFT_OUT = ("env", "env.name", "env.id", "seed")  # the task and the seed stand in every name
WORTH = ("scale", "iterations")  # count in no key by themselves, and yet make other runs
OTHERS = re.compile(r"[^\w.+-]+", re.ASCII)  # what a shell, Hydra or a file system may take for something else


def run_label(task: str, seed: int, overrides: Sequence[str], schema: type, sweep: str | None = None) -> str:
    """The task, what was typed that changes results, and the seed: ``lunar_lander-freeze2-smoke-seed0``. What has its
    default is not typed and takes no place. Of a ``sweep``, a folder, what its jobs differ in comes first, whatever
    it is. A name ends in ``etc`` where more was typed than is readable. What changes no result stays out, also settings
    that no schema knows: a logger's may be a password.
    """
    told = [override for override in overrides if _key(override) not in LEFT_OUT]
    swept = differing(told, Path(sweep)) if sweep else []
    rest = [override for override in told if override not in swept and _counts(override, schema)]
    words = dict.fromkeys(_word(override, task, schema) for override in [*swept, *rest])
    return "-".join([OTHERS.sub("_", task)[:LONGEST], *_first(filter(None, words)), f"seed{seed}"])


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _counts(override: str, schema: type) -> bool:
    """Whether an override is of a setting that counts, within one that does, or of a group that has one."""
    key = _key(override)
    if key == "trainer" or key.partition(".")[0].partition("/")[0] == "hydra":  # the trainer's options are machines
        return False
    related = [
        name
        for name in every_key(schema)
        if f"{name}.".startswith(f"{key}.") or key.startswith((f"{name}.", f"{name}/"))
    ]
    known = [setting for name in related if (setting := setting_at(schema, name)) is not None]
    return key in WORTH or not known or any(setting.counts != "never" for setting in known)


def _word(override: str, task: str, schema: type) -> str:
    """``freeze2`` of ``transfer=freeze2``, ``salient`` of ``vae.loss=salient``, ``population8`` of
    ``controller.population=8``: the key where the value does not say it all, with its node where others have a setting
    of that name.
    """
    key, value = _key(override), override.partition("=")[2]
    name, keys = key.rpartition(".")[2], every_key(schema)
    part = isinstance(setting_at(schema, key), Part)
    if part:  # of a class its last name; its settings, where they are typed with it, stay
        value = re.sub(r"\b([A-Za-z_]\w*\.)+", "", re.sub(r"_target_: *", "", value))
    value = OTHERS.sub("_", value).strip("_")
    if part or ("." not in key and key not in keys) or key in ("scale", "callbacks"):
        return key if value == task else value  # experiment=lunar_lander
    alone = Counter(known.rpartition(".")[2] for known in keys)[name] == 1
    return f"{name if alone else key}{value}"


def _first(words: Iterable[str]) -> list[str]:
    """As many words as a name holds: a long one, such as a path, takes no place from those after it."""
    chosen: list[str] = []
    left: list[str] = []
    for word in words:
        fits = len("-".join([*chosen, word])) <= LONGEST
        (chosen if fits else left).append(word)
    return [*chosen, *(["etc"] if left else [])]
