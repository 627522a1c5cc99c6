"""Every stage of a signal's path, against closed forms and a plain loop over one world."""

from fractions import Fraction

import numpy as np
import pytest

from sim2real.domains.distributions.distribution import Normal, Uniform
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.domains.entries.delays import Sampled
from sim2real.domains.entries.kinds import ACTUATION, SENSING
from sim2real.domains.entries.stage import Effect, StepDraws
from sim2real.domains.model_fields.rest_points import no_rest
from sim2real.simulation.randomness import SENSING as STREAM
from sim2real.simulation.randomness import Clock, EpisodeGenerators
from sim2real.simulation.signals.signal import BLOCK, SignalPath

DT, SEED, KEY = 0.02, 3, 2**64 - 7
STEP = np.concatenate([[0.0], np.ones(40)])
WAVE = np.sin(0.37 * np.arange(80)) + 0.3 * np.sin(1.9 * np.arange(80))
NOISE = Normal(0.5, 0.1)


STAGES = {**SENSING, **ACTUATION, "sampled": Sampled}


def path_of(kind, num_envs=1, random=None, longest=0.0, steps=1, width=1, rest=None):
    columns = np.arange(width)
    effect = Effect(
        stage=STAGES[kind],
        columns=columns,
        sources=_sources(kind, width),
        lanes=columns,
        random=random or (NOISE if kind == "noise" else STAGES[kind].random),
        draws=(StepDraws(KEY, width),),
        low=np.full(width, -1.0),
        high=np.full(width, 2.0),
        rest=no_rest(width) if rest is None else rest,
        longest=longest,
        steps=steps,
        options=STAGES[kind].options,
    )
    return SignalPath([effect], num_envs, DT, STREAM)


def _sources(kind, width):
    """The context entries of an effect: none, one, or those of a rate and a phase."""
    if kind == "noise":
        return np.zeros(0, dtype=int)
    return np.repeat([0, 1] if kind in ("rate", "sampled") else [0], width)


def through(kind, magnitude, inputs, before=0.0, **options):
    """What one world's signal (`before`, then `inputs`) becomes, (steps,)."""
    path, ids = path_of(kind, **options), np.array([0])
    path.draw(ids, np.atleast_2d(magnitude))
    path.rest(ids, np.full((1, 1), before))
    clock = Clock(EpisodeGenerators(SEED), np.array([0]), np.array([0]))
    outputs = []
    for value in inputs:
        outputs.append(path.apply(np.array([[value]]), clock)[0, 0])
        clock.steps += 1
    return np.array(outputs)


def drawn(steps, method="random"):
    """The numbers of one lane and one world, as they are documented, (steps,)."""
    generators = EpisodeGenerators(SEED)
    blocks = [
        getattr(generators.at(0, STREAM, block, KEY), method)(BLOCK)
        for block in range(steps // BLOCK + 1)
    ]
    return np.concatenate(blocks)[:steps]


def test_scale_and_bias():
    np.testing.assert_array_equal(through("scale", 1.5, WAVE), 1.5 * WAVE)
    np.testing.assert_array_equal(through("bias", 0.25, WAVE), WAVE + 0.25)


def test_noise_is_drawn_anew_in_each_step():
    expected = WAVE + (0.5 + 0.1 * drawn(len(WAVE), "standard_normal"))
    np.testing.assert_allclose(through("noise", 0.0, WAVE), expected, rtol=1e-14)
    uniform = through("noise", 0.0, WAVE, random=Uniform(-1.0, 3.0))
    np.testing.assert_allclose(uniform, WAVE - 1 + 4 * drawn(len(WAVE)), rtol=1e-12)


def test_drift_is_a_random_walk_from_zero():
    steps = 0.3 * np.sqrt(DT) * drawn(len(WAVE), "standard_normal")
    walk = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    np.testing.assert_allclose(through("drift", 0.3, WAVE), WAVE + walk, rtol=1e-12)


def test_drift_has_its_deviation_after_a_second():
    n, seconds = 2000, 2.0
    path, ids = path_of("drift", n), np.arange(n)
    path.draw(ids, np.full((n, 1), 0.3))
    path.rest(ids, np.zeros((n, 1)))
    clock = Clock(EpisodeGenerators(SEED), ids.copy(), np.zeros(n, dtype=int))
    for _ in range(round(seconds / DT) + 1):
        walk = path.apply(np.zeros((n, 1)), clock)
        clock.steps += 1
    # the deviation of a deviation estimated from n normals is about 1 / sqrt(2 n)
    assert walk.std() == pytest.approx(0.3 * np.sqrt(seconds), rel=4 / np.sqrt(2 * n))


def test_saturation_scales_the_limits():
    out = through("saturation", 0.5, [-2.0, -0.5, 0.2, 1.0, 1.5])
    np.testing.assert_array_equal(out, [-0.5, -0.5, 0.2, 1.0, 1.0])


def test_quantization_takes_the_nearest_multiple():
    out = through("quantization", 0.25, [0.12, 0.13, -0.4, 1.0, 7.1])
    np.testing.assert_array_equal(out, [0.0, 0.25, -0.5, 1.0, 7.0])


def test_dead_zone_swallows_small_values():
    out = through("dead_zone", 0.25, [-1.0, -0.25, -0.1, 0.0, 0.2, 0.25, 0.75])
    np.testing.assert_array_equal(out, [-0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5])


def test_rate_limit_is_a_ramp():
    out = through("rate_limit", 4.0, STEP)
    np.testing.assert_allclose(out, np.minimum(4.0 * DT * np.arange(len(STEP)), 1.0), rtol=1e-12)
    back = through("rate_limit", 4.0, np.full(5, -1.0), before=1.0)
    np.testing.assert_allclose(back, 1.0 - 4.0 * DT * np.arange(1, 6), rtol=1e-12)


def test_lag_has_the_exact_step_response():
    out = through("lag", 0.05, STEP)
    np.testing.assert_allclose(out, 1.0 - np.exp(-DT / 0.05 * np.arange(len(STEP))), rtol=1e-12)


def test_backlash_is_a_hysteresis():
    up, down = np.linspace(0, 1, 11), np.linspace(1, 0, 11)[1:]
    out = through("backlash", 0.4, np.concatenate([up, down]))
    # upwards the output is half the play behind; it stands until the whole play is crossed back
    np.testing.assert_allclose(out[:11], np.maximum(up - 0.2, 0.0), atol=1e-15)
    np.testing.assert_allclose(out[11:], np.minimum(0.8, down + 0.2), rtol=1e-12)
    last, expected = 0.0, []
    for value in WAVE:
        last = min(max(last, value - 0.2), value + 0.2)
        expected.append(last)
    np.testing.assert_array_equal(through("backlash", 0.4, WAVE), expected)


def test_repeat_takes_every_third_value():
    np.testing.assert_array_equal(through("repeat", 3.0, WAVE), np.repeat(WAVE[::3], 3)[:80])


@pytest.mark.parametrize("steps", [1, 4])
def test_dropped_values_are_zero_for_some_steps(steps):
    left, expected = 0, []
    for value, number in zip(WAVE, drawn(len(WAVE)), strict=True):
        left = steps if left == 0 and number < 0.2 else left
        expected.append(0.0 if left else value)
        left = max(left - 1, 0)
    out = through("dropped", 0.2, WAVE, steps=steps)
    np.testing.assert_array_equal(out, expected)
    assert 0.1 < (out == 0).mean() < 0.8


@pytest.mark.parametrize("steps", [1, 4])
def test_held_values_stay_for_some_steps(steps):
    left, last, expected = 0, 9.0, []
    for value, number in zip(WAVE, drawn(len(WAVE)), strict=True):
        left = steps if left == 0 and number < 0.2 else left
        last = last if left else value
        expected.append(last)
        left = max(left - 1, 0)
    np.testing.assert_array_equal(through("held", 0.2, WAVE, before=9.0, steps=steps), expected)


def test_stuck_values_stay_for_ever():
    first = int(np.flatnonzero(drawn(len(WAVE)) < 0.05)[0])
    assert 0 < first < 60
    out = through("stuck", 0.05, WAVE)
    np.testing.assert_array_equal(out[:first], WAVE[:first])
    np.testing.assert_array_equal(out[first:], WAVE[first - 1])


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_delay_of_whole_steps_is_a_shift(steps):
    out = through("delay", steps * DT, WAVE, before=7.0, longest=steps * DT)
    expected = np.concatenate([np.full(steps, 7.0), WAVE])[: len(WAVE)]
    np.testing.assert_allclose(out, expected, rtol=1e-14)


def test_a_fraction_of_a_step_is_interpolated():
    line = 3.0 + 2.0 * np.arange(30)
    out = through("delay", 2.3 * DT, line, longest=0.1)
    np.testing.assert_allclose(out[3:], line[3:] - 2.0 * 2.3, rtol=1e-12)


def test_jitter_moves_a_delay_within_its_limits():
    line = np.arange(60.0)
    jitter = Uniform(-0.03, 0.03)
    out = through("delay", 1.0 * DT, line, random=jitter, longest=1.0 * DT + 0.03, before=0.0)
    late = np.clip(1.0 * DT - 0.03 + 0.06 * drawn(60), 0.0, 0.05) / DT
    np.testing.assert_allclose(out[3:], (line - late)[3:], rtol=1e-12)
    assert (out <= line).all()  # never from the future


KINDS = {**SENSING, **ACTUATION}


def test_every_kind_but_those_of_the_model_has_a_stage_that_does_nothing_at_its_identity():
    for kind in KINDS.values():
        if (
            kind.name in ("strength", "reward_delay", "noise", "load_friction")
            or kind.identity is None
        ):
            continue
        inputs = WAVE * (0.5 if kind.name == "saturation" else 1.0)
        out = through(kind.name, kind.identity, inputs, before=5.0)
        np.testing.assert_array_equal(out, inputs, err_msg=kind.name)


def sample_times(rate, phase, steps):
    """The last sample at each of so many control steps, in control steps; by rational numbers."""
    period = Fraction(1) / (Fraction(rate) * Fraction(DT).limit_denominator())
    first = Fraction(phase) * period
    return [first + (step - first) // period * period for step in range(steps)]


@pytest.mark.parametrize(
    ("rate", "phase"), [(20, 0), (50, 0), (25, 0.5), (18, 0.25), (120, 0.5), (7, 1), (10, 0)]
)
def test_a_rate_shows_what_was_at_the_last_sample(rate, phase):
    times = [float(time) for time in sample_times(rate, phase, len(WAVE))]
    line = np.concatenate([[9.0] * 8, WAVE])  # it was 9 before
    expected = np.interp(np.array(times) + 8, np.arange(len(line)), line)
    out = through("rate", [rate, phase], WAVE, before=9.0, longest=1.0 / rate)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rate", "phase"), [(20, 0), (50, 0), (18, 0.25), (120, 0.5), (7, 1)])
def test_a_reading_stays_until_the_next_sample(rate, phase):
    times = sample_times(rate, phase, len(WAVE))
    expected, last = [], 9.0
    for step, (time, value) in enumerate(zip(times, WAVE, strict=True)):
        last = value if step - time < 1 else last
        expected.append(last)
    out = through("sampled", [rate, phase], WAVE, before=9.0)
    np.testing.assert_array_equal(out, expected)
    assert len(set(out.tolist())) <= min(rate * DT, 1) * len(WAVE) + 2


def test_a_latency_acts_on_older_observations():
    line = np.arange(1.0, 10.0)
    np.testing.assert_array_equal(through("latency", 0.0, line), line)
    np.testing.assert_array_equal(through("latency", DT, line), [0, *line[:-1]])
    np.testing.assert_array_equal(through("latency", 0.1 * DT, line), [0, *line[:-1]])
    two = [0, 0, 1, 1, 3, 3, 5, 5, 7]  # begun at steps 0, 2, 4, ..., there two steps later
    np.testing.assert_array_equal(through("latency", 1.5 * DT, line), two)
    three = [-1, -1, -1, 1, 1, 1, 4, 4, 4]
    np.testing.assert_array_equal(through("latency", 3 * DT, line, before=-1.0), three)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in KINDS
        if kind not in ("strength", "reward_delay", "no_load_speed", "load_friction")
    ],
)
def test_worlds_do_not_disturb_each_other(kind):
    """Seven worlds in one path, some standing still at times, equal each world in a path alone."""
    n, width, rng = 7, 3, np.random.default_rng(0)
    inputs, active = rng.normal(size=(50, n, width)), rng.random((50, n)) < 0.8
    magnitudes = rng.uniform(0.02, 0.3, (n, 1))
    if kind == "rate":
        magnitudes = rng.uniform(0.2, 1.0, (n, 2)) * [1 / DT, 1.0]
    if kind == "repeat":
        magnitudes = rng.integers(1, 4, (n, 1)).astype(float)
    options = {"longest": 0.3, "steps": 2, "width": width}
    together, alone = path_of(kind, n, **options), [path_of(kind, **options) for _ in range(n)]
    clock = Clock(EpisodeGenerators(SEED), np.arange(n), np.zeros(n, dtype=int))
    clocks = [Clock(clock.generators, np.array([k]), np.array([0])) for k in range(n)]
    together.draw(np.arange(n), magnitudes)
    together.rest(np.arange(n), inputs[0])
    for k, path in enumerate(alone):
        path.draw(np.array([0]), magnitudes[k : k + 1])
        path.rest(np.array([0]), inputs[0, k : k + 1])
    for values, moves in zip(inputs, active, strict=True):
        ours = together.apply(values, clock, moves)
        clock.steps += moves
        for k in np.flatnonzero(moves):
            theirs = alone[k].apply(values[k : k + 1], clocks[k])
            clocks[k].steps += 1
            np.testing.assert_array_equal(ours[k], theirs[0])


def test_the_numbers_of_a_name_do_not_depend_on_the_other_names():
    def effect(name, columns, random):
        columns, key = np.array(columns), StepDraws(key_of(name), len(columns))
        none = columns[:0]
        lanes = columns - columns[0]
        return Effect(
            STAGES["noise"], columns, none, lanes, random, (key,), none, none, no_rest(0), 0.0, 1
        )

    one = effect("one", [0, 1], Normal(0.0, 1.0))
    others = [effect("two", [2], Uniform(0.0, 1.0)), effect("three", [3], Normal(0.0, 2.0))]
    outputs = []
    for effects in ([one], [one, *others], [*others, one]):
        path = SignalPath(effects, 1, DT, STREAM)
        clock = Clock(EpisodeGenerators(SEED), np.array([0]), np.array([0]))
        outputs.append(path.apply(np.zeros((1, 4)), clock))
    few, many, reordered = outputs
    np.testing.assert_array_equal(few[:, :2], many[:, :2])
    np.testing.assert_array_equal(many, reordered)
    assert (many != 0).all()
    assert (few[:, 2:] == 0).all()
