"""A domain for foreign environments: Gymnasium's, gymnasium-robotics' and a user's own."""

import copy
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper, episode_seed
from sim2real.simulation.front_ends.foreign import _control_dt, find_foreign

sys.path.insert(0, str(Path(__file__).parent.parent / "robots"))
import slider_env

IDENTITY = {
    "dynamics": [
        {"field": "body_mass", "scale": 1.0},
        {"field": "dof_damping", "scale": 1.0},
        {"field": "geom_friction", "scale": 1.0},
        {"field": "opt.gravity", "component": "z", "add": 0.0},
    ],
    "actuation": [{"delay": 0.0}, {"noise": {"normal": [0.0, 0.0]}}],
    "sensing": [{"bias": 0.0}, {"scale": 1.0}, {"delay": 0.0}, {"reward_delay": 0.0}],
    "disturbances": [{"slope": 0.0, "direction": "pitch"}],
}
SHIFT = {
    "dynamics": [
        {"field": "body_mass", "scale": {"uniform": [1.2, 1.5]}},
        {"field": "dof_damping", "scale": 2.0},
    ]
}
MASS = {"dynamics": [{"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}}]}
PUSHED = {"disturbances": [{"push": {"uniform": [1.0, 2.0]}, "of": "mass", "every": 0.04}]}
FOREIGN = ["Hopper-v5", "FetchReach-v4", "HandReach-v3", "AdroitHandHammer-v1"]


def make(name):
    """A foreign environment, gymnasium-robotics mended."""
    return find_foreign(name).make()


def slider(domain=None):
    return DomainWrapper(slider_env.make(), domain)


def rollout(env, seed, steps=40):
    """Observations and rewards of random actions."""
    env.action_space.seed(0)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append((copy.deepcopy(observation), float(reward)))
        if terminated or truncated:
            break
    return seen


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return np.array_equal(one, other)


def arrays(model):
    """Every array and option of a model."""
    owners = [("", model), ("opt.", model.opt), ("stat.", model.stat)]
    return {
        prefix + name: np.copy(value)
        for prefix, owner in owners
        for name in dir(owner)
        if not name.startswith("_")
        and isinstance(value := getattr(owner, name), np.ndarray | int | float)
    }


def differing(one, other):
    return {name for name, values in one.items() if not np.array_equal(values, other[name])}


# -- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_identity_is_bitwise_a_shift_is_not_and_close_gives_the_model_back(name):
    bare = rollout(make(name), seed=3)
    assert equal(rollout(DomainWrapper(make(name)), seed=3), bare)
    assert equal(rollout(DomainWrapper(make(name), IDENTITY), seed=3), bare)
    shifted = DomainWrapper(make(name), SHIFT)
    before = arrays(shifted.unwrapped.model)
    assert not equal(rollout(shifted, seed=3), bare)
    written = differing(arrays(shifted.unwrapped.model), before)
    assert {"body_mass", "body_inertia", "dof_damping", "body_subtreemass"} <= written
    shifted.close()
    after = differing(arrays(shifted.unwrapped.model), before)
    assert after <= {"body_pos", "site_pos"}  # where the environments keep their goals
    assert equal(rollout(shifted.env, seed=3), bare)


def test_hopper_equals_our_own_in_the_same_domain():
    domain = s2r.Domain(
        dynamics=[
            {"field": "body_mass", "scale": {"uniform": [0.7, 1.4]}},
            {"field": "geom_friction", "component": "sliding", "scale": 0.6, "shared": True},
            {"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}},
            {"field": "dof_armature", "add": 0.05},
            {"field": "opt.gravity", "component": "x", "add": 0.3},
        ],
        actuation=[{"strength": {"uniform": [0.8, 1.2]}}],
        sensing=[
            {"noise": {"normal": [0.0, 0.01]}, "shared": True},
            {"delay": 0.012},
            {"reward_delay": 0.02},
        ],
        disturbances=[
            {"push": {"uniform": [1.0, 2.0]}, "of": "torso", "every": 0.1},
            {"force": 3.0, "of": "torso", "direction": "x"},
        ],
    )
    ours = gym.make("sim2real/Hopper-v0", domain=domain).unwrapped
    foreign = DomainWrapper(gym.make("Hopper-v5"), domain)
    _, info = foreign.reset(seed=7)
    _, expected = ours.reset(seed=7)
    both = info["context"].keys() & expected["context"].keys()  # delays are those of the terms
    assert {name.partition(":")[0] for name in both} >= {"body_mass", "dof_damping", "strength"}
    assert all(info["context"][name] == expected["context"][name] for name in both)
    data = foreign.unwrapped.data
    ours.set_state(data.qpos, data.qvel)
    rng = np.random.default_rng(0)
    for step in range(60):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        expected, expected_reward, expected_end, _, _ = ours.step(action)
        observation, reward, terminated, _, _ = foreign.step(action)
        np.testing.assert_allclose(data.qpos, ours.data.qpos, rtol=0, atol=1e-9)
        if step > 2:  # the sensors' memories begin at other states
            np.testing.assert_allclose(observation, expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(reward, expected_reward, rtol=0, atol=1e-9)
        assert terminated == expected_end
        if terminated:
            break
    assert step > 10


def test_a_delay_is_that_of_the_actions():
    bare = gym.make("Hopper-v5")
    late = DomainWrapper(gym.make("Hopper-v5"), {"actuation": [{"delay": 0.016}]})
    bare.reset(seed=1)
    late.reset(seed=1)
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 3))
    for given, arrived in zip(actions, [*np.zeros((2, 3)), *actions[:10]], strict=True):
        np.testing.assert_array_equal(late.step(given)[0], bare.step(arrived)[0])


def test_the_model_is_the_one_that_set_const_makes_of_the_values():
    env = DomainWrapper(gym.make("Walker2d-v5"), SHIFT)
    plain = copy.copy(env.unwrapped.model)
    _, info = env.reset(seed=0)
    factors = np.array([info["context"][f"body_mass:{plain.body(i).name}"] for i in range(1, 8)])
    plain.body_mass[1:] *= factors
    plain.body_inertia[1:] *= factors[:, None]
    plain.dof_damping *= 2.0
    mujoco.mj_setConst(plain, mujoco.MjData(plain))
    assert not differing(arrays(env.unwrapped.model), arrays(plain))


def test_values_come_from_the_nominal_model_at_every_reset():
    env = slider(MASS)
    env.reset(seed=0)
    for _ in range(200):
        _, info = env.reset()
        mass = env.unwrapped.model.body_mass[1]
        assert mass == 2.0 * info["context"]["body_mass:mass"]
        assert 1.0 <= mass <= 4.0


def test_what_the_environment_has_written_into_its_model_stays():
    fetch = DomainWrapper(make("FetchReach-v4"), SHIFT)
    weld = fetch.unwrapped.model.eq_data.copy()
    fetch.reset(seed=0)
    np.testing.assert_array_equal(fetch.unwrapped.model.eq_data, weld)  # mj_setConst changes it
    bare, hammer = make("AdroitHandHammer-v1"), DomainWrapper(make("AdroitHandHammer-v1"), SHIFT)
    bare.reset(seed=4)
    hammer.reset(seed=4)
    nail = bare.unwrapped.model.body("nail_board").id
    assert bare.unwrapped.model.body_pos[nail, 2] == hammer.unwrapped.model.body_pos[nail, 2]


# -- closed forms on the slider: v = F t / m -----------------------------------------------------


def speeds(env, steps=10):
    env.reset(seed=0)
    return [float(env.step(np.ones(1))[0][1]) for _ in range(steps)]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (None, [0.03 * k for k in range(1, 11)]),  # 3 N / 2 kg * 0.02 s a step
        ({"dynamics": [{"field": "body_mass", "set": 4.0}]}, [0.015 * k for k in range(1, 11)]),
        ({"actuation": [{"strength": 2.0}]}, [0.06 * k for k in range(1, 11)]),
        ({"actuation": [{"saturation": 0.5}]}, [0.015 * k for k in range(1, 11)]),
        ({"actuation": [{"delay": 0.05}]}, [0.03 * max(k - 2, 0) for k in range(1, 11)]),
        (
            {"disturbances": [{"force": -1.0, "of": "mass", "direction": "x"}]},
            [0.02 * k for k in range(1, 11)],
        ),
        (
            {"sensing": [{"bias": 1.0, "of": "observation[1]"}]},
            [1 + 0.03 * k for k in range(1, 11)],
        ),
        ({"sensing": [{"delay": 0.04}]}, [0.03 * max(k - 2, 0) for k in range(1, 11)]),
    ],
)
def test_closed_forms(domain, expected):
    np.testing.assert_allclose(speeds(slider(domain)), expected, atol=1e-12)


def test_a_delay_of_actuators_is_reported_as_it_is_in_whole_control_steps():
    env = slider({"actuation": [{"delay": {"uniform": [0.0, 0.1]}}]})
    for _ in range(20):
        _, info = env.reset()
        steps = info["context"]["delay"] / 0.02
        assert steps == pytest.approx(round(steps))


def test_late_rewards_are_paid_at_the_end():
    env, late = slider(), slider({"sensing": [{"reward_delay": 0.06}]})
    env.reset(seed=0)
    late.reset(seed=0)
    rewards = [float(env.step(np.ones(1))[1]) for _ in range(20)]
    paid = [float(late.step(np.ones(1))[1]) for _ in range(20)]
    np.testing.assert_allclose(paid[:19], [0, 0, 0, *rewards[:16]], atol=1e-12)
    assert sum(paid) == pytest.approx(sum(rewards))


def test_noise_on_one_key_of_a_dict_leaves_the_others():
    bare = make("FetchReach-v4")
    env = DomainWrapper(
        make("FetchReach-v4"),
        {"sensing": [{"noise": {"normal": [0, 0.1]}, "of": "achieved_goal"}]},
    )
    truth, (seen, _) = bare.reset(seed=0)[0], env.reset(seed=0)
    assert env.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["desired_goal"], truth["desired_goal"])
    np.testing.assert_array_equal(seen["observation"], truth["observation"])
    assert 0 < np.abs(seen["achieved_goal"] - truth["achieved_goal"]).max() < 0.6


# -- episodes ------------------------------------------------------------------------------------


def test_episodes_depend_on_seed_and_number_alone():
    domain = MASS | {"sensing": [{"noise": {"normal": [0.0, 0.1]}}]}
    env = slider(domain)
    first, second, third = rollout(env, 5, 5), env.reset(), env.reset()
    assert env.episode == 2
    other = slider(domain)
    assert equal(third, other.reset(seed=5, options={"episode": 2}))
    assert equal(second, other.reset(options={"episode": 1}))
    assert equal(rollout(other, 5, 5), first)
    assert second[1]["context"] != third[1]["context"]
    assert not equal(slider(domain).reset(seed=6)[0], first[0])
    assert equal(slider(domain).reset(), slider(domain).reset(seed=0))
    bare = slider_env.make()
    assert equal(slider().reset(seed=5)[0], bare.reset(seed=5)[0])
    third = slider().reset(seed=5, options={"episode": 2})[0]
    assert equal(third, bare.reset(seed=episode_seed(5, 2))[0])


def test_the_context_is_in_every_info():
    env = slider(MASS)
    _, info = env.reset(seed=0)
    assert set(info["context"]) == {"body_mass:mass"}
    assert env.step(np.zeros(1))[4] == info | {"unstable": False}


# -- what goes wrong -----------------------------------------------------------------------------


def test_an_unstable_state_ends_the_episode(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    force = {"force": 1e14, "of": "mass", "direction": "x"}
    env = slider({"disturbances": [force]})
    first, _ = env.reset(seed=0)
    observation, reward, terminated, _, info = env.step(np.ones(1))
    assert terminated
    assert info["unstable"]
    assert reward == 0.0
    np.testing.assert_array_equal(observation, first)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())  # MuJoCo's log


def test_every_unstable_episode_is_reported():
    """The engine's own reset sets its count of warnings to 1 again."""
    env = slider({"disturbances": [{"force": 1e14, "of": "mass", "direction": "x"}]})
    for _ in range(3):
        env.reset()
        *_, terminated, _, info = env.step(np.ones(1))
        assert terminated
        assert info["unstable"]


def test_numbers_that_the_environment_makes_are_its_own_fault():
    env = DomainWrapper(slider_env.faulty("nan"))
    env.reset(seed=0)
    for _ in range(2):
        assert not env.step(np.ones(1))[4]["unstable"]
    with pytest.raises(UserError, match="step: the reward is not finite at step 3 of episode 0"):
        env.step(np.ones(1))


def test_a_reset_never_gives_an_observation_that_is_not_finite():
    class Lost(slider_env.SliderEnv):
        def reset_model(self):
            return super().reset_model() * np.nan

    with pytest.raises(UserError, match="Lost: reset: the observation is not finite at step 0"):
        DomainWrapper(Lost()).reset(seed=0)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"dynamics": [{"field": "body_mass", "of": "mas", "scale": 2}]}, "did you mean 'mass'"),
        ({"dynamics": [{"field": "opt.timestep", "set": 0.001}]}, "cannot have opt.timestep"),
        ({"dynamics": [{"field": "geom_size", "scale": 2}]}, "geometry takes an MJCF"),
        ({"model": "other.xml"}, "cannot have model"),
        ({"disturbances": [{"bumps": 0.1}]}, "cannot have bumps"),
        ({"sensing": [{"bias": 1.0, "of": "obs"}]}, "unknown observation term"),
        ({"actuation": [{"noise": 1.0, "of": "pull"}]}, "number of the action 'pull'"),
        ({"actuation": [{"delay": 0.4}]}, "as long as an episode"),
        ({"dynamic": []}, "unknown key 'dynamic'"),
        ("windy", "such as 'windy'; allowed: 'my_domains.yaml:windy'"),
    ],
)
def test_domains_that_do_not_fit_are_refused_by_name(domain, message):
    with pytest.raises(UserError, match=message):
        slider(domain)


def test_a_model_that_is_made_anew_is_changed_anew():
    """As the environment whose model stays: the same draws, on the new nominal values."""
    stays, remade = (
        DomainWrapper(env, {**MASS, **PUSHED})
        for env in (slider_env.SliderEnv(), slider_env.Remade())
    )
    models = []
    for seed in (0, 1, None):
        observation, info = remade.reset(seed=seed)
        expected, expected_info = stays.reset(seed=seed)
        models.append(remade.unwrapped.model)
        np.testing.assert_array_equal(observation, expected)
        assert info["context"] == expected_info["context"]
        assert remade.unwrapped.model.body_mass[1] == stays.unwrapped.model.body_mass[1] != 2.0
        for _ in range(5):
            action = np.full(1, 0.5, dtype=np.float32)
            np.testing.assert_array_equal(remade.step(action)[0], stays.step(action)[0])
    assert len({id(model) for model in models}) == 3


@pytest.mark.parametrize(
    ("name", "control_dt"),
    [("AntMaze_UMaze-v5", 0.05), ("PointMaze_UMaze-v3", 0.01), ("FrankaKitchen-v1", 0.08)],
)
def test_the_control_step_of_an_inner_environment(name, control_dt):
    domain = {"dynamics": [{"field": "dof_damping", "scale": 3.0}], "actuation": [{"delay": 0.1}]}
    with warnings.catch_warnings(
        action="ignore"
    ):  # the kitchen hands out one array again and again
        env = DomainWrapper(make(name), domain)
        env.reset(seed=0)
    assert env._dt == pytest.approx(control_dt)
    data, before = env.unwrapped.data, env.unwrapped.data.time
    with warnings.catch_warnings(action="ignore"):
        env.step(env.action_space.sample())
    assert data.time - before == pytest.approx(control_dt)


def test_the_control_step_follows_from_frame_skip():
    env = slider_env.SliderEnv()
    bare = SimpleNamespace(model=env.model, data=env.data, frame_skip=5)
    assert _control_dt(bare, env.model) == _control_dt(env, env.model) == 0.02
    bare.frame_skip = None
    assert _control_dt(bare, env.model) is None
    bare.inner = env
    assert _control_dt(bare, env.model) == 0.02


def test_environments_that_cannot_have_a_domain_are_refused():
    with pytest.raises(UserError, match="CartPole-v1 is no MuJoCo environment"):
        DomainWrapper(gym.make("CartPole-v1"))
    with pytest.raises(UserError, match=r"Hopper-v0 is a task already: gymnasium\.make"):
        DomainWrapper(gym.make("sim2real/Hopper-v0"), SHIFT)
    with pytest.raises(UserError, match=r"Grown makes another model .* nbody is 3, not 2"):
        DomainWrapper(slider_env.Grown(), MASS).reset()
    with pytest.raises(UserError, match="has no actuator"):
        DomainWrapper(make("FetchReach-v4"), {"actuation": [{"strength": 1.2}]})


def test_bad_calls_are_refused():
    env = slider()
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"an action must be finite, got \[nan\]"):
        env.step(np.array([np.nan]))
    with pytest.raises(UserError, match=r"^seed is -1; allowed: 0 to 9,223,372,036,854,775,807"):
        env.reset(seed=-1)
    with pytest.raises(UserError, match=r"^seed is 1.5; allowed: a whole number"):
        env.reset(seed=1.5)
    for episode in (-2, True, 0.5, 2**62):
        with pytest.raises(UserError, match=r"^reset option 'episode' is .* a whole number from 0"):
            env.reset(options={"episode": episode})


def test_a_wrapped_environment_can_be_made_from_its_spec(tmp_path):
    file = tmp_path / "worn.yaml"
    file.write_text(
        "worn:\n  dynamics:\n    - {field: dof_damping, scale: {uniform: [1.0, 2.0]}}\n"
    )
    env = s2r.DomainWrapper(gym.make("Hopper-v5"), f"{file}:worn")
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert equal(again.reset(seed=3), env.reset(seed=3))
    with pytest.raises(UserError, match=r"unknown domain in .*worn\.yaml 'warn'"):
        s2r.DomainWrapper(gym.make("Hopper-v5"), f"{file}:warn")


# -- other libraries -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Hopper-v5", "FetchReach-v4", "slider"])
def test_both_checkers_pass_without_a_warning(name):
    env = slider(MASS) if name == "slider" else DomainWrapper(make(name), SHIFT)
    with warnings.catch_warnings():  # warnings are errors in the tests
        # the bare environments give the same warnings: about unbounded spaces, and wrappers
        warnings.filterwarnings("ignore", message=".*(infinity|different from the unwrapped)")
        check_env(env, skip_render_check=True)
        if name != "FetchReach-v4":  # SB3 asks a wrapper, of whatever kind, for compute_reward
            check_sb3_env(env)


def test_gymnasium_robotics_is_mended_where_it_was_imported_before():
    code = (
        "import gymnasium, gymnasium_robotics, sim2real as s2r\n"
        "env = s2r.DomainWrapper(gymnasium.make('FetchReach-v4'))\n"
        "print(env.reset(seed=0)[1])"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown == "{'context': {}}\n"


def test_gravity_compensation_that_mujoco_would_skip_is_refused():
    carried = {"dynamics": [{"field": "body_gravcomp", "set": 0.5}]}
    with pytest.raises(UserError, match=r"body_gravcomp: no body .* has a gravcomp"):
        DomainWrapper(slider_env.make(), carried)


class Reusing(gym.Wrapper):
    """An environment that writes every observation into the same array."""

    def __init__(self, env):
        super().__init__(env)
        self.shown = np.zeros(env.observation_space.shape)

    def reset(self, **given):
        self.shown[:], info = self.env.reset(**given)
        return self.shown, info

    def step(self, action):
        self.shown[:], *rest = self.env.step(action)
        return self.shown, *rest


def test_an_observation_that_was_handed_out_stays():
    env = DomainWrapper(Reusing(gym.make("Hopper-v5")), s2r.Domain())
    shown = [env.reset(seed=0)[0]]
    kept = [shown[0].copy()]
    for _ in range(3):
        shown.append(env.step(np.full(3, 0.5))[0])
        kept.append(shown[-1].copy())
    assert not np.array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(shown, kept)
