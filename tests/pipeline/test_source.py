"""What is told of a source before any weight is read."""

import pytest
from synthetic import write_run

from worldmodels.pipeline.source import check_source
from worldmodels.utils.errors import ConfigError

OTHER = ("env=lunar_lander", "vae=cvae", "vae.network.latent_size=16")


@pytest.fixture
def taken(tmp_path, compose):
    """A config that takes weights from a finished run whose z has 16 dimensions."""
    run = write_run(tmp_path, compose(*OTHER), name="source")
    return lambda *overrides: compose(*overrides, f"transfer.source_run={run}")


def test_columns_of_z_are_kept_only_of_a_z_of_the_same_size(taken):
    """A frozen LSTM under a fresh head: nothing else in M tells the two apart."""
    lstm = ("transfer=freeze_lstm", "transfer.load=[memory.lstm]")
    with pytest.raises(ConfigError) as caught:
        check_source(taken(*lstm, "transfer.input_layer=keep_latent"))
    assert "source has 16 and this run 32: set vae.network.latent_size=16, or use" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "vae.network.latent_size=16")) is None
    assert check_source(taken(*lstm)) is None  # its input layer is fresh
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "stage=vision")) is None  # M is not reached


def test_without_a_source_there_is_nothing_to_check(compose):
    assert check_source(compose()) is None
    assert check_source(compose("transfer=freeze_lstm", "stage=vision")) is None


def test_a_run_that_is_none_is_refused(compose):
    with pytest.raises(ConfigError, match="nowhere is no run"):
        check_source(compose("transfer=pretrained", "transfer.source_run=nowhere"))
