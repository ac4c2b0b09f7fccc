"""What a frame shows: the place and the looks of what is unusual in it."""

import numpy as np
import pytest

from worldmodels.vision.look import AHEAD, COMPONENTS, SEEN, Look, changes


def frames_of(places, sizes):
    """A picture of two colours, with a red thing of the given width at the given rows and columns; none at NaN."""
    frames = np.full((len(places), 64, 64, 3), (30, 60, 90), np.uint8)
    frames[:, 40:] = (90, 160, 60)
    for frame, place, size in zip(frames, places, sizes, strict=True):
        if not np.isnan(place).any():
            row, column = place.astype(int)
            frame[row - 2 : row + 3, column - size : column + size + 1] = (250, 20, 20)
    return frames


@pytest.fixture(scope="module")
def rollouts():
    """Six rollouts of 40 frames: the thing wanders about, and is sometimes wide."""
    rng = np.random.default_rng(0)
    rollouts = []
    for _ in range(6):
        places = rng.uniform(8, 55, (40, 2)).round()
        places[rng.random(40) < 0.2] = np.nan
        sizes = rng.integers(1, 4, 40)
        rollouts.append((places, sizes, frames_of(places, sizes)))
    return rollouts


def test_it_sees_where_the_thing_is_and_that_there_is_none(rollouts):
    look, shown = Look.prepare(frames for _, _, frames in rollouts)
    for (places, _, frames), known in zip(rollouts, shown, strict=True):
        seen = look(frames)
        np.testing.assert_array_equal(seen, known)
        assert seen.shape == (40, SEEN)
        np.testing.assert_array_equal(np.isnan(seen).any(axis=1), np.isnan(places).any(axis=1))
        np.testing.assert_allclose(seen[:, :2], places * 2 / 63 - 1, atol=0.02)


def test_its_components_have_deviation_one_and_tell_the_size(rollouts):
    _, shown = Look.prepare(frames for _, _, frames in rollouts)
    seen = np.concatenate(shown)
    sizes = np.concatenate([sizes for _, sizes, _ in rollouts])[~np.isnan(seen[:, 0])]
    looks = seen[~np.isnan(seen[:, 0]), 2:]
    np.testing.assert_allclose(np.cov(looks.T, ddof=0)[:4, :4], np.eye(4), atol=1e-3)
    design = np.column_stack([looks, np.ones(len(looks))])
    told = design @ np.linalg.lstsq(design, sizes, rcond=None)[0]
    assert 1 - np.var(sizes - told) / np.var(sizes) > 0.9
    assert looks.shape[1] == COMPONENTS


def test_it_is_kept(rollouts, tmp_path):
    look, _ = Look.prepare(frames for _, _, frames in rollouts)
    look.save(tmp_path / "look.safetensors")
    np.testing.assert_array_equal(Look.load(tmp_path / "look.safetensors")(rollouts[0][2]), look(rollouts[0][2]))
    assert [path.name for path in tmp_path.iterdir()] == ["look.safetensors"]


def test_nothing_to_see_is_no_error_here():
    same = np.full((5, 64, 64, 3), 80, np.uint8)
    assert np.isnan(Look.prepare([same])[0](same)).all()


def test_what_hardly_varied_is_not_blown_up(rollouts):
    """Three frames have two components at most."""
    look, _ = Look.prepare([frames_of(np.array([[10.0, 20.0], [20.0, 31.0], [30.0, 11.0]]), [1, 2, 3])])
    assert not look.components[2:].any()
    seen = np.concatenate([look(frames) for _, _, frames in rollouts])
    assert np.nanmax(np.abs(seen)) < 20


def test_changes_are_those_some_frames_ahead():
    seen = np.arange(7.0)[:, None] ** 2
    expected = [(t + AHEAD) ** 2 - t**2 for t in range(7 - AHEAD)]
    np.testing.assert_array_equal(changes(seen)[: 7 - AHEAD, 0], expected)
    assert np.isnan(changes(seen)[7 - AHEAD :]).all() and np.isnan(changes(seen[:2])).all()
