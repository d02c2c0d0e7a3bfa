"""Learning rates over a run, and settings that cannot be. The steps themselves: test_kernels, test_against_keras."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.engine.optimizers import ADAM_RULE, SCHEDULES, SGD, SGD_RULE, Adam, AdamW, scheduled_rate
from digitlab.errors import ConfigError


def rates(schedule: str, n_steps: int, peak: float = 1.0) -> list[float]:
    return [scheduled_rate(schedule, peak, step, n_steps) for step in range(n_steps)]


def test_constant_is_constant() -> None:
    assert rates("constant", 5, peak=0.3) == [0.3] * 5


@pytest.mark.parametrize("n_steps", [1, 2, 7, 110])
def test_cosine_is_half_a_cosine_from_the_peak(n_steps: int) -> None:
    found = rates("cosine", n_steps, peak=0.2)
    assert found == pytest.approx([0.1 * (1.0 + math.cos(math.pi * step / n_steps)) for step in range(n_steps)])
    assert found[0] == 0.2
    assert found == sorted(found, reverse=True)
    # The step after the last would have rate zero.
    assert scheduled_rate("cosine", 0.2, n_steps, n_steps) == pytest.approx(0.0, abs=1e-17)


@pytest.mark.parametrize("n_steps", [1, 2, 7, 10, 77, 1100])
def test_one_cycle_is_two_straight_lines(n_steps: int) -> None:
    corners = [0.0, 0.15 * n_steps, n_steps]
    expected = np.interp(range(n_steps), corners, [0.01 / 25, 0.01, 0.0])
    assert rates("one-cycle", n_steps, 0.01) == pytest.approx(expected.tolist())


def test_one_cycle_starts_at_a_25th_peaks_after_15_percent_and_ends_one_step_before_zero() -> None:
    found = rates("one-cycle", 100)
    assert found[0] == pytest.approx(1 / 25)
    assert found[15] == max(found) == pytest.approx(1.0)
    assert found[:16] == sorted(found[:16])
    assert found[15:] == sorted(found[15:], reverse=True)
    assert found[-1] == pytest.approx(1 / 85)
    assert scheduled_rate("one-cycle", 1.0, 100, 100) == 0.0


@given(st.sampled_from(SCHEDULES), st.floats(1e-12, 1e6), st.integers(1, 1_000_000), st.data())
def test_a_rate_is_above_zero_and_at_most_the_peak(
    schedule: str, peak: float, n_steps: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, n_steps - 1))
    # The sums of a weighted mean may end half a rounding above its larger end.
    assert 0.0 < scheduled_rate(schedule, peak, step, n_steps) <= peak * (1.0 + 1e-15)


def test_an_unknown_schedule_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no learning rate schedule 'cosin'. Did you mean 'cosine'\? There are"):
        scheduled_rate("cosin", 0.1, 0, 10)
    with pytest.raises(ConfigError, match=r"no learning rate schedule 'xyz'. There are"):
        scheduled_rate("xyz", 0.1, 0, 10)


def test_adam_corrects_the_bias_of_its_means_in_the_rate() -> None:
    for t in (1, 2, 1000):
        step = Adam(0.01).step(t, 0.01)
        assert step.rule == ADAM_RULE
        assert step.rate == pytest.approx(0.01 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t))
    # With a constant gradient g the means are g and g * g times their corrections: the first step is the whole rate.
    first = Adam(0.01).step(1, 0.01)
    assert first.rate * first.settings[0] / math.sqrt(first.settings[1]) == pytest.approx(0.01)


def test_a_step_takes_the_rate_of_the_schedule_and_not_of_the_optimizer() -> None:
    assert SGD(0.5).step(1, 0.1).rate == 0.1
    assert SGD(0.5, weight_decay=0.2).step(1, 0.1).settings[3] == pytest.approx(0.02)
    assert AdamW(0.5).step(1, 0.1).settings[3] == pytest.approx(0.1 * 0.004)


def test_sgd_hands_on_its_momentum_and_its_look_ahead() -> None:
    step = SGD(0.5, momentum=0.9, nesterov=True).step(3, 0.5)
    assert step.rule == SGD_RULE
    assert step.settings[:2] == (0.9, 1.0)


@pytest.mark.parametrize("optimizer", [Adam, AdamW, SGD])
@pytest.mark.parametrize("rate", [0.0, -0.1, math.inf, math.nan])
def test_a_learning_rate_is_a_finite_number_above_zero(optimizer: Any, rate: float) -> None:
    with pytest.raises(ConfigError, match="learning_rate must be a finite number above 0; got"):
        optimizer(rate)


@pytest.mark.parametrize(
    ("optimizer", "settings", "sentence"),
    [
        (Adam, {"beta_1": 1.0}, "beta_1 must be from 0 to below 1; got 1.0"),
        (Adam, {"beta_2": -0.1}, "beta_2 must be from 0 to below 1; got -0.1"),
        (Adam, {"epsilon": 0.0}, "epsilon must be above 0; got 0.0"),
        (Adam, {"weight_decay": -1.0}, "weight_decay must be 0 or more; got -1.0"),
        (AdamW, {"weight_decay": math.inf}, "weight_decay must be 0 or more; got inf"),
        (SGD, {"momentum": 1.0}, "momentum must be from 0 to below 1; got 1.0"),
        (SGD, {"weight_decay": math.nan}, "weight_decay must be 0 or more; got nan"),
    ],
)
def test_other_settings_have_their_ranges(optimizer: Any, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        optimizer(**settings)
