from __future__ import annotations

import io
import itertools
import os
import resource
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import torch
from conformance_cases import in_turn, slow_unless
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.save_util import data_to_json
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.policies.build import build_offline
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.runs.foreign import read_foreign
from sim2real.runs.load import load_run
from sim2real.simulation import ActionMap, Simulation

CLASSES: dict[str, Any] = {"ppo": PPO, "sac": SAC, "td3": TD3}


def load_foreign(*arguments: Any, **options: Any) -> Any:
    """The policy in an SB3 zip, on the CPU, in evaluation mode; arguments as of `read_foreign`."""
    return read_foreign(*arguments, **options).build().policy


def saved(path: Path, algorithm: str, **policy: Any) -> Any:
    """A stranger's model of gymnasium's Hopper-v5, saved by SB3."""
    options: dict[str, Any] = {} if algorithm == "ppo" else {"buffer_size": 10}
    env = gymnasium.make("Hopper-v5")
    model = CLASSES[algorithm]("MlpPolicy", env, policy_kwargs=policy, device="cpu", **options)
    model.save(path)
    return model


NETWORKS = list(itertools.product([(), (24,), (20, 10, 5)], ["usual", "elu"]))
"""Hidden layers and activation."""
HALF = in_turn(list(CLASSES), NETWORKS, 2)


@pytest.mark.parametrize(
    ("algorithm", "network"),
    [slow_unless(case in HALF, *case) for case in itertools.product(CLASSES, NETWORKS)],
)
def test_policy_acts_as_it_did(algorithm: str, network: Any, tmp_path: Path) -> None:
    layers, named = network
    if not layers:
        options: dict[str, Any] = {}
    else:
        second = "vf" if algorithm == "ppo" else "qf"
        options = {"net_arch": {"pi": list(layers), second: [7, 3]}}
    if named == "elu":
        options["activation_fn"] = torch.nn.ELU
    model = saved(tmp_path / "model.zip", algorithm, **options)
    policy = load_foreign(tmp_path / "model.zip", load_task("hopper"))
    observations = np.random.default_rng(0).normal(size=(50, 11))
    expected, _ = model.predict(observations, deterministic=True)
    got, _ = policy.predict(observations, deterministic=True)
    np.testing.assert_array_equal(got, expected)
    assert not policy.training


@pytest.mark.parametrize("algorithm", CLASSES)
@pytest.mark.parametrize("rescaled", [False, True])
def test_policy_acts_in_the_range_that_it_was_trained_in(
    algorithm: str, rescaled: bool, tmp_path: Path
) -> None:
    """InvertedPendulum takes -3 to 3; PPO clips there, SAC and TD3 scale to it."""
    options: dict[str, Any] = {} if algorithm == "ppo" else {"buffer_size": 10}
    env: Any = gymnasium.make("InvertedPendulum-v5")
    if rescaled:
        env = gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    model = CLASSES[algorithm]("MlpPolicy", env, device="cpu", **options)
    model.save(tmp_path / "model.zip")
    task = load_task("inverted_pendulum")
    policy = load_foreign(tmp_path / "model.zip", task)
    assert policy.action_space == model.action_space
    assert policy.action_map == (ActionMap((-3.0,), (3.0,)) if rescaled else None)  # type: ignore[comparison-overlap]
    (row,) = evaluate(policy, task, "nominal", episodes=1)
    simulation = Simulation(task)
    observation, total = simulation.reset(episodes=[0]), 0.0
    for _ in range(row.length):
        action, _ = model.predict(np.repeat(observation, 8, axis=0), deterministic=True)
        transition = simulation.advance(action[:1] * (3 if rescaled else 1))
        observation, total = transition.observation, total + float(transition.reward[0])
    assert transition.terminated[0]
    assert total == row.total


def test_a_policy_of_another_range_is_refused(tmp_path: Path) -> None:
    env = gymnasium.wrappers.RescaleAction(
        gymnasium.make("Hopper-v5"), np.float32(-2), np.float32(2)
    )
    PPO("MlpPolicy", env, device="cpu").save(tmp_path / "wide.zip")
    with pytest.raises(
        UserError, match=r"wide.zip: the policy acts in \[-2, 2\]; allowed: \[-1, 1\]$"
    ):
        load_foreign(tmp_path / "wide.zip", load_task("hopper"))


def test_own_policy_saved_by_sb3_keeps_its_statistics(tmp_path: Path) -> None:
    simulation = Simulation("hopper")
    spaces = simulation.observation_space, simulation.action_space
    algorithm = build_offline(load_recipe("ppo"), *spaces)
    algorithm.policy.features_extractor.normalizer.running_mean.fill_(3.0)  # type: ignore[union-attr]
    algorithm.save(tmp_path / "own.zip")
    policy = load_foreign(tmp_path / "own.zip", load_task("hopper"), "ppo", activation="tanh")
    assert policy.features_extractor.normalizer.running_mean[0] == 3.0  # type: ignore[union-attr]


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_code_in_the_zip_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "model.zip"
    saved(path, "ppo")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["data"] = data_to_json({"policy_class": Bomb(marker)}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(KeyError, match="action_space"):  # the bomb is live: SB3 itself sets it off
        PPO.load(path)
    assert marker.exists()
    marker.unlink()

    with pytest.warns(UserWarning, match="says nothing of the range of its actions"):
        load_foreign(path, load_task("hopper"))
    assert not marker.exists()


@pytest.mark.parametrize("data", [None, b"", b"junk", b"[1]", b"{}"])
def test_a_zip_that_says_nothing_of_itself_is_reported(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    if data is None:
        rewrite(path, drop=("data",))
    else:
        rewrite(path, data=data)
    with pytest.warns(UserWarning, match="says nothing") as caught:
        load_foreign(path, load_task("hopper"))
    (said,) = [str(one.message) for one in caught]
    assert said == (
        f"{path} says nothing of its spaces and hyper-parameters, so they were not compared with "
        "the task's; its actions are taken in [-1, 1]"
    )


def test_code_in_the_weights_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", cloudpickle.dumps(Bomb(marker)))
    with pytest.raises(UserError, match=r"baselines3 zip: its policy\.pth is damaged"):
        load_foreign(path, load_task("hopper"))
    torch.save(Bomb(marker), tmp_path / "policy.pth")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "policy.pth", "policy.pth")
    with pytest.raises(UserError, match="is not a whole stable-baselines3 zip"):
        load_foreign(path, load_task("hopper"))
    assert not marker.exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_zip(part: float, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match="is not a whole stable-baselines3 zip") as raised:
        load_foreign(path, load_task("hopper"))
    assert "\n" not in str(raised.value)


def test_other_bad_input(tmp_path: Path) -> None:
    path, hopper = tmp_path / "model.zip", load_task("hopper")
    with pytest.raises(UserError, match="does not exist"):
        load_foreign(path, hopper)
    saved(path, "sac", net_arch=[8])
    with pytest.raises(UserError, match="holds a policy of sac, not of td3"):
        load_foreign(path, hopper, "td3")
    with pytest.raises(UserError, match="unknown algorithm 'sacc'; did you mean 'sac'"):
        load_foreign(path, hopper, "sacc")
    with pytest.raises(UserError, match="unknown activation 'sin'"):
        load_foreign(path, hopper, activation="sin")
    needed = "has 11 observations and 3 actions, needed are 17 and 6"
    with pytest.raises(UserError, match=needed):
        load_foreign(path, load_task("half_cheetah"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(UserError, match="holds no weights of a policy"):
        load_foreign(path, hopper)


def rewrite(path: Path, drop: tuple[str, ...] = (), **parts: bytes) -> None:
    """Replace or drop parts of a zip; compressed, as SB3 itself stores them."""
    with zipfile.ZipFile(path) as archive:
        kept = [name for name in archive.namelist() if name not in drop]
        entries = {name: archive.read(name) for name in kept}
    names = {name.replace(".", "_"): name for name in entries}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**entries, **{names[key]: data for key, data in parts.items()}}.items():
            archive.writestr(name, data)


def weights_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)  # type: ignore[no-any-return]


def with_weights(path: Path, **changes: Any) -> None:
    """Replace tensors of the policy in a zip."""
    buffer = io.BytesIO()
    torch.save({**weights_of(path), **changes}, buffer)
    rewrite(path, policy_pth=buffer.getvalue())


FIRST = "mlp_extractor.policy_net.0.weight"
SECOND = "mlp_extractor.policy_net.2.weight"
WIDE = 100_000


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({SECOND: torch.zeros(1).expand(WIDE, WIDE)}, "needs 40,000,000,000 bytes, of which 4 are"),
        ({FIRST: torch.zeros(WIDE, 11), SECOND: torch.zeros(WIDE, 1)}, "no MLP"),
        ({FIRST: torch.tensor(1.0)}, "no MLP"),
        ({FIRST: torch.full((64, 11), torch.nan)}, "has numbers that are not finite"),
        ({FIRST: torch.zeros((64, 11), dtype=torch.complex64)}, f"{FIRST} is torch.complex64"),
        ({FIRST: torch.zeros(64, 11).to_sparse()}, "torch.sparse_coo; allowed: plain tensors of"),
        ({FIRST: torch.zeros((64, 11), dtype=torch.int64)}, f"{FIRST} is torch.int64"),
        ({FIRST: torch.zeros((64, 11), dtype=torch.bool)}, f"{FIRST} is torch.bool"),
        ({FIRST: torch.zeros((64, 11), dtype=torch.float8_e5m2)}, f"{FIRST} is torch.float8_e5m2"),
        ({FIRST: torch.zeros((64, 11), device="meta")}, f"{FIRST} has no values"),
        ({"action_net.weight": torch.tensor(1.0)}, "needed are 11 and 3"),
        ({"log_std": torch.zeros(7)}, "not a plain ppo policy with an MLP"),
        ({"log_std": "text"}, "is not a whole stable-baselines3 zip"),
    ],
)
def test_sizes_and_numbers_are_checked_before_memory_is_taken(
    changes: dict[str, Any], match: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    with_weights(path, **changes)
    assert path.stat().st_size < 10_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=match) as caught:
        load_foreign(path, load_task("hopper"))
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_quantized_weights_are_refused_by_name_and_kind(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    with warnings.catch_warnings(action="ignore"):
        with_weights(
            path, **{FIRST: torch.quantize_per_tensor(torch.zeros(64, 11), 0.1, 0, torch.qint8)}
        )
    with pytest.raises(UserError, match=f"{FIRST} is torch.qint8, .*; allowed: ") as caught:
        load_foreign(path, load_task("hopper"))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("part", ["policy_pth", "data"])
def test_a_zip_of_zeros_is_not_unpacked(part: str, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    rewrite(path, **{part: bytes(300_000_000)})
    assert path.stat().st_size < 1_000_000
    began = time.perf_counter()
    with pytest.raises(UserError, match="unpacks to 300,000,000 bytes, over 256,000,000"):
        load_foreign(path, load_task("hopper"))
    assert time.perf_counter() - began < 1.0


def test_zeros_within_the_weights_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    with zipfile.ZipFile(tmp_path / "inner", "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("archive/data.pkl", bytes(300_000_000))
    rewrite(path, policy_pth=(tmp_path / "inner").read_bytes())
    with pytest.raises(UserError, match="unpacks to 300,000,000 bytes"):
        load_foreign(path, load_task("hopper"))


def parts_used(path: Path) -> tuple[int, int]:
    """Bytes of the parts of a zip that a policy is read from, and of the whole file."""
    with zipfile.ZipFile(path) as archive:
        used = [archive.getinfo(name).compress_size for name in ("policy.pth", "data")]
    return sum(used), path.stat().st_size


def test_flipped_bytes_are_refused_or_change_nothing(tmp_path: Path) -> None:
    """A flipped bit in what is read is refused in one line; elsewhere it changes no action."""
    path, task = tmp_path / "model.zip", load_task("hopper")
    model, seen = saved(path, "ppo", net_arch=[4]), np.random.default_rng(1).normal(size=(9, 11))
    expected, _ = model.predict(seen, deterministic=True)
    whole, rng, (used, size) = path.read_bytes(), np.random.default_rng(0), parts_used(path)
    refusals, flips = [], 60
    for place in rng.integers(len(whole), size=flips):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action="ignore"):
                policy = load_foreign(path, task)
        except UserError as error:
            refusals.append(str(error))
        else:
            np.testing.assert_array_equal(policy.predict(seen, deterministic=True)[0], expected)
    assert not any("\n" in one for one in refusals)
    assert len(refusals) / flips > 0.8 * used / size > 0.2


@pytest.mark.parametrize("critics", [1, 2, 3])
def test_any_number_of_critics_is_read(critics: int, tmp_path: Path) -> None:
    model = saved(tmp_path / "model.zip", "sac", net_arch=[8], n_critics=critics)
    policy: Any = load_foreign(tmp_path / "model.zip", load_task("hopper"))
    seen = np.random.default_rng(0).normal(size=(5, 11))
    expected, _ = model.predict(seen, deterministic=True)
    np.testing.assert_array_equal(policy.predict(seen, deterministic=True)[0], expected)
    theirs, ours = model.critic.state_dict(), policy.critic.state_dict()
    assert torch.equal(ours["qf0.0.weight"], theirs["qf0.0.weight"])
    assert torch.equal(ours["qf1.0.weight"], theirs[f"qf{min(1, critics - 1)}.0.weight"])


@pytest.fixture
def behind_vec_normalize(tmp_path: Path) -> tuple[Any, Any]:
    """A model trained behind VecNormalize, and that, saved beside each other."""
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Hopper-v5")]))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, device="cpu")
    model.learn(128)
    model.save(tmp_path / "plain.zip")
    env.save(str(tmp_path / "vec.pkl"))
    env.training = False
    return model, env


@pytest.mark.parametrize("algorithm", CLASSES)
def test_statistics_beside_the_zip_are_used(algorithm: str, tmp_path: Path) -> None:
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Hopper-v5")]))
    options: dict[str, Any] = {"n_steps": 32} if algorithm == "ppo" else {"learning_starts": 20}
    model = CLASSES[algorithm]("MlpPolicy", env, batch_size=16, device="cpu", **options)
    model.learn(32)
    model.save(tmp_path / "plain.zip")
    env.save(str(tmp_path / "vec.pkl"))
    policy = load_foreign(
        tmp_path / "plain.zip", load_task("hopper"), normalization=tmp_path / "vec.pkl"
    )
    seen = np.random.default_rng(0).normal(size=(20, 11)) * 2
    expected, _ = model.predict(env.normalize_obs(seen), deterministic=True)
    got, _ = policy.predict(seen, deterministic=True)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.usefixtures("behind_vec_normalize")
def test_statistics_that_are_missing_are_reported(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="behind VecNormalize, .* give its file with --normalizat"):
        load_foreign(tmp_path / "plain.zip", load_task("hopper"))


@pytest.mark.usefixtures("behind_vec_normalize")
def test_a_zip_is_evaluated_transferred_distilled_and_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = ["--task", "hopper", "--normalization", "vec.pkl"]
    verbs = {
        "evaluate plain.zip --domains nominal --episodes 2": "-sim2real/report",
        "transfer plain.zip --domain hard --method fine_tune --budget 64 --num-envs 4": (
            "-sim2real-fine_tune-hard-0"
        ),
        "distill plain.zip --domain hard --budget 64 --num-envs 4": "-sim2real-distill-hard-0",
        "publish plain.zip --out plain-shared --domains nominal --episodes 4": "-shared",
    }
    for words, end in verbs.items():
        assert cli.main([*words.split(), *told]) == 0, words
        assert (tmp_path / f"plain{end}").is_dir()
    assert not (tmp_path / "plain").exists()
    assert PPO.load("plain").num_timesteps == 128  # SB3 finds its zip as before
    moved = load_run("plain-sim2real-fine_tune-hard-0")
    assert moved.config.source == str(tmp_path / "plain.zip")
    seen = np.random.default_rng(0).normal(size=(5, 11))
    policies = [
        load_run("plain.zip", task="hopper", normalization="vec.pkl").policy,
        load_run("plain-sim2real-fine_tune-hard-0/source").policy,
        load_run("plain-shared").policy,
    ]
    actions = [policy.predict(seen, deterministic=True)[0] for policy in policies]
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], actions[2])
    assert "trained elsewhere by PPO" in (tmp_path / "plain-shared" / "card.md").read_text()
    capsys.readouterr()
    for words, message in {
        "transfer plain.zip --domain hard --budget 64": "does not name its task; add --task NAME",
        "evaluate plain-shared --normalization vec.pkl": "so it takes no normalization",
        "resume plain.zip": "is not a run",
        "resume plain-shared": "without training state",
    }.items():
        assert cli.main(words.split()) == 2
        assert message in capsys.readouterr().err


def test_options_of_the_task_are_used(tmp_path: Path) -> None:
    env = gymnasium.make("Ant-v5", include_cfrc_ext_in_observation=False)
    PPO("MlpPolicy", env, device="cpu").save(tmp_path / "ant.zip")
    run = load_run(tmp_path / "ant.zip", task="ant", task_options={"contact_forces": False})
    assert run.task.options == {"contact_forces": False}
