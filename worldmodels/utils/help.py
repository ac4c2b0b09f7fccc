"""``--help``: every setting with its meaning, from the declarations."""

import textwrap

from omegaconf import MISSING

from worldmodels.utils.settings import Settings, describe

CHANGES_RESULTS = False
KEY, WIDTH = 40, 118


def settings_help(schema: type[Settings], indent: int) -> str:
    """A line or two for each setting: key, default, meaning, unit and range."""
    lines = []
    for each in describe(schema):
        left = each.key + ("" if each.default == MISSING else f"={_shown(each.default)}")
        told = textwrap.wrap(each.meaning, WIDTH - KEY - indent) or [""]
        if len(left) >= KEY:
            lines.append(left)
            left = ""
        lines += [f"{left:{KEY}}{told[0]}".rstrip(), *(" " * KEY + line for line in told[1:])]
    text = ("\n" + " " * indent).join(lines)
    return text.replace("$", "$$")  # Hydra's help is a template


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
