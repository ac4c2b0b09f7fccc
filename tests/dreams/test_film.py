"""The video of dreams, and its command's temperatures."""

import hydra
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from worldmodels.config import conf_dir, register_schema, to_config
from worldmodels.dream import DreamCommand
from worldmodels.dreams.film import CONTEXT_GROUND, DREAM_GROUND, Column, film
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.media import lettered

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def counted(picture, colour):
    return int((picture == np.uint8(colour)).all(-1).sum())


@pytest.mark.parametrize("every", [1, 2])
def test_every_frame_is_there_and_the_dream_is_marked_where_it_begins(every):
    columns = [Column("reality", FRAMES, False), Column("dream\nwarm", FRAMES[::-1], True)]
    pictures = list(film(columns, context=3, height=128, every=every))
    assert len(pictures) == len(range(0, 5, every))
    for picture, t in zip(pictures, range(0, 5, every), strict=True):
        assert picture.dtype == np.uint8 and picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        top = 2 * 2 * (128 // 10)
        for left, frame in ((0, FRAMES[t]), (128 + 4, FRAMES[::-1][t])):
            shown = picture[top : top + 128, left : left + 128]
            assert np.array_equal(shown, frame.repeat(2, 0).repeat(2, 1))
        assert (counted(picture, DREAM_GROUND) > 1000, counted(picture, CONTEXT_GROUND) > 1000) == (t >= 3, t < 3)


@pytest.mark.parametrize("text", ["i", "a very long line that could never fit at full size\nand a short one"])
def test_letters_stay_within_their_strip(text):
    strip = lettered(text, 20, 90)
    inked = (strip < 128).any(-1)
    assert inked.any()
    assert not inked[[0, -1]].any() and not inked[:, [0, -1]].any()
    columns = np.flatnonzero(inked.any(0))
    assert abs(columns[0] + columns[-1] - 89) <= 4  # centred


def composed(*overrides):
    register_schema("dream_schema", DreamCommand)
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return to_config(hydra.compose("dream", ["run=x", *overrides]))


def test_a_temperature_may_be_a_number_or_a_list():
    assert composed("temperature=1.0").temperatures == [1.0]
    assert composed("temperature=2").temperatures == [2.0]
    assert composed("temperature=[0.5,1]").temperatures == [0.5, 1.0]
    for given, got in (("[]", r"\[\]"), ("[1,0]", "0.0"), ("warm", "warm"), ("null", "None"), ("true", "True")):
        with pytest.raises(ConfigError, match=f"temperature={got} .*expected"):
            composed(f"temperature={given}")
