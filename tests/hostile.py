"""Files that are made to do harm, each kind with the function of the library that reads it.

A kind is a function of a folder and a generator, which varies it; it returns the path to read.
"""

from __future__ import annotations

import base64
import builtins
import importlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch

from sim2real import files
from sim2real.domains import load_domains
from sim2real.identification.log import Log
from sim2real.registry import load_task
from sim2real.runs.checkpoint import STATE, TRAINING, steps
from sim2real.runs.load import load_run
from sim2real.runs.seal import seal
from sim2real.runs.session import read_session
from sim2real.runs.vec_normalize import read_statistics
from sim2real.simulation import Simulation
from sim2real.studies.config import load_study
from sim2real.untrusted_model import check_model

CANARY = "sim2real_canary"
"""In the arguments of everything that hostile code would call."""
SHIPPED = Path(__file__).parents[1] / "policies" / "pretrained" / "cartpole"
Rng = np.random.Generator
Make = Callable[[Path, Rng], Path]
"""Writes a file into a folder and returns the path to read."""
Read = Callable[[Path], Any]
CALLS: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
    (os.system, (f"touch {CANARY}",)),
    (builtins.exec, (f"import {CANARY}",)),
    (builtins.eval, (f"__import__('{CANARY}')",)),
    (importlib.import_module, (CANARY,)),
    (subprocess.Popen, (["touch", CANARY],)),
    (builtins.open, (CANARY, "w")),
    (os.mkdir, (CANARY,)),
)
HUGE = (10**9, 2**31 - 1, 2**40, 10**18, 10**30)


class Evil:
    """Is unpickled by a call of one of `CALLS`."""

    def __init__(self, rng: Rng) -> None:
        self._call = CALLS[rng.integers(len(CALLS))]

    def __reduce__(self) -> Any:
        return self._call


def pickled(rng: Rng, value: Any = None) -> bytes:
    """A pickle that executes code, of any protocol; `value` is beside the code."""
    protocol = int(rng.integers(0, pickle.HIGHEST_PROTOCOL + 1))
    return pickle.dumps((Evil(rng), value) if rng.integers(2) else Evil(rng), protocol)


def huge(rng: Rng) -> int:
    return HUGE[rng.integers(len(HUGE))]


# -- zips of Stable-Baselines3 -----------------------------------------------------------------


def saved(value: Any) -> bytes:
    """What `torch.save` writes."""
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


def weights() -> dict[str, torch.Tensor]:
    """Those of a policy for cartpole."""
    return {
        "log_std": torch.zeros(1),
        "mlp_extractor.policy_net.0.weight": torch.zeros(4, 5),
        "mlp_extractor.policy_net.0.bias": torch.zeros(4),
        "mlp_extractor.value_net.0.weight": torch.zeros(4, 5),
        "mlp_extractor.value_net.0.bias": torch.zeros(4),
        "action_net.weight": torch.zeros(1, 4),
        "action_net.bias": torch.zeros(1),
        "value_net.weight": torch.zeros(1, 4),
        "value_net.bias": torch.zeros(1),
    }


def zipped(folder: Path, parts: dict[str, bytes]) -> Path:
    path = folder / "model.zip"
    whole = {"data": b"{}", "policy.pth": saved(weights()), "pytorch_variables.pth": saved({})}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (whole | parts).items():
            archive.writestr(name, data)
    return path


def zip_code_in_data(folder: Path, rng: Rng) -> Path:
    entry = {":type:": "function", ":serialized:": base64.b64encode(pickled(rng)).decode()}
    names = ("policy_class", "lr_schedule", "observation_space", "action_space", "_last_obs")
    data = dict.fromkeys(names[rng.integers(len(names)) :], entry)
    return zipped(folder, {"data": json.dumps(data).encode()})


def zip_pickle_for_weights(folder: Path, rng: Rng) -> Path:
    names = ("policy.pth", "pytorch_variables.pth", "policy.optimizer.pth", "data")
    return zipped(folder, {names[rng.integers(len(names))]: pickled(rng)})


def zip_code_in_weights(folder: Path, rng: Rng) -> Path:
    names = ("policy.pth", "pytorch_variables.pth", "policy.optimizer.pth")
    return zipped(folder, {names[rng.integers(len(names))]: saved({**weights(), "a": Evil(rng)})})


def zip_lying_sizes(folder: Path, rng: Rng) -> Path:
    """The table of contents gives another size than what is packed."""
    path = zipped(folder, {"policy.pth": bytes(int(rng.integers(1, 40)) * 10**6)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"policy.pth"))
    data[at + 24 : at + 28] = struct.pack("<I", int(rng.integers(0, 2**32)))
    path.write_bytes(data)
    return path


def zip_outside(folder: Path, rng: Rng) -> Path:
    """Names that lead out of the archive, and a symbolic link in it."""
    path = zipped(folder, {})
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../" * int(rng.integers(1, 9)) + CANARY, b"x")
        archive.writestr(f"/tmp/{CANARY}", b"x")
        archive.writestr(link, b"/etc/passwd")
    return path


def zip_lying_tensor(folder: Path, rng: Rng) -> Path:
    """A tensor that is larger than what is stored of it."""
    size = int(rng.integers(10**5, 10**6))
    large = torch.zeros(1).expand(size, size)
    return zipped(folder, {"policy.pth": saved({**weights(), "action_net.weight": large})})


def read_zip(path: Path) -> Any:
    return load_run(path, task="cartpole").policy


# -- statistics of VecNormalize ----------------------------------------------------------------


def pkl_code(folder: Path, rng: Rng) -> Path:
    path = folder / "vec_normalize.pkl"
    path.write_bytes(pickled(rng, {"obs_rms": 1, "norm_obs": True}))
    return path


def pkl_any_instructions(folder: Path, rng: Rng) -> Path:
    """Bytes that are instructions in any order."""
    path = folder / "vec_normalize.pkl"
    words = [b"(", b"]", b"}", b"N", b"\x94", b"h\x00", b"R", b"b", b"0", b"t", b"a", b"s", b"u"]
    words += [b"c" + b"posix\nsystem\n", b"X\x05\x00\x00\x00touch", b"\x93", b"\x81", b"Q"]
    words += [b"\x8b\xff\xff\xff\x7f", b"j\xff\xff\xff\xff", b"B\xff\xff\xff\xff", b"\x8a\xff"]
    chosen = [words[k] for k in rng.integers(len(words), size=int(rng.integers(1, 60)))]
    path.write_bytes(b"\x80\x04" + b"".join(chosen) + b".")
    return path


def npz_with_objects(folder: Path, rng: Rng) -> Path:
    path = folder / "statistics.npz"
    odd = np.array([Evil(rng), 1], dtype=object)
    np.savez(path, mean=odd, var=np.ones(5))
    return path


def npy(header: str) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def lying_npz(path: Path, rng: Rng) -> Path:
    """Headers of arrays that are not there, or that are expressions."""
    code = f"__import__('os').system('touch {CANARY}')"
    headers = (
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({huge(rng)},), }}",
        f"{{'descr': {code}, 'fortran_order': False, 'shape': (5,), }}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (5,), }",
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': (-{huge(rng)},), }}",
        "(" * 200,
    )
    names = ("mean", "var", "time", "control", "y_time", "qpos")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", npy(headers[rng.integers(len(headers))]) + bytes(40))
    return path


def npz_lying(folder: Path, rng: Rng) -> Path:
    return lying_npz(folder / "statistics.npz", rng)


def read_pkl(path: Path) -> Any:
    return read_statistics(path, 5)


# -- YAML --------------------------------------------------------------------------------------

TAGS = (
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/object/apply:subprocess.Popen [['touch', {CANARY}]]",
    f"!!python/object/new:{CANARY}.X []",
    f"!!python/module:{CANARY}",
    f"!!python/name:{CANARY}.x",
    f"!!python/object/apply:builtins.exec ['import {CANARY}']",
    f"!<tag:yaml.org,2002:python/object/apply:builtins.open> ['{CANARY}', 'w']",
)


def written(folder: Path, text: str, name: str = "file.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def yaml_tags(folder: Path, rng: Rng) -> Path:
    tag = TAGS[rng.integers(len(TAGS))]
    places = (f"windy: {tag}\n", f"windy: {{about: {tag}}}\n", f"windy: {{dynamics: [{tag}]}}\n")
    return written(folder, places[rng.integers(len(places))])


def yaml_aliases(folder: Path, rng: Rng) -> Path:
    """Aliases of aliases: a few lines that are billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, int(rng.integers(8, 30))):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return written(folder, "\n".join(lines))


def yaml_deep(folder: Path, rng: Rng) -> Path:
    open_, close = (("[", "]"), ("{a: ", "}"))[rng.integers(2)]
    depth = int(rng.integers(51, 20_000))
    return written(folder, f"windy: {open_ * depth}{close * depth}")


def yaml_code(folder: Path, rng: Rng) -> Path:
    """A domain that names code of its own."""
    (folder / f"{CANARY}.py").write_text(f"import os\nos.system('touch {CANARY}')\n")
    name = (f"{CANARY}.py:Kind", f"./{CANARY}.py", str(folder / f"{CANARY}.py"))[rng.integers(3)]
    part = ("actuation", "sensing", "disturbances")[rng.integers(3)]
    return written(folder, f"windy: {{{part}: [{{'{name}': 1.0}}]}}\n")


def yaml_other_files(folder: Path, rng: Rng) -> Path:
    place = ("/etc/passwd", "../" * 9 + "etc/passwd", "/dev/zero", "/proc/self/mem")
    one = place[rng.integers(len(place))]
    return written(folder, (f"windy: {{model: {one}}}\n", f"windy: {{extends: '{one}.yaml:x'}}\n")[
        rng.integers(2)
    ])  # fmt: skip


def yaml_huge_numbers(folder: Path, rng: Rng) -> Path:
    low = huge(rng)
    entry = (
        f"{{field: body_mass, scale: {{uniform: [{low}, {low}0]}}}}",
        f"{{field: body_mass, scale: {{choice: [{', '.join(['1e308'] * 999)}]}}}}",
        "{field: body_mass, scale: {uniform: [.nan, .inf]}}",
        f"{{delay: {low}}}",
        f"{{dropout: {low}, hold: {low}}}",
    )[rng.integers(5)]
    return written(folder, f"windy: {{dynamics: [{entry}], actuation: [{entry}]}}\n")


def read_domains(path: Path) -> Any:
    for domain in load_domains(path).values():
        Simulation("cartpole", domain, threads=1).close()


STUDY: dict[str, Any] = {
    "name": "a", "task": "cartpole", "targets": ["hard"], "seeds": 1, "methods": ["fine_tune"],
    "source": {"domain": "nominal", "steps": 256}, "budget": 256, "oracle": {"steps": 256},
}  # fmt: skip


def study_huge(folder: Path, rng: Rng) -> Path:
    """Sizes that no machine has."""
    keys = ("seeds", "budget", "episodes", "evaluations", "source.steps", "source.options.num_envs",
            "source.options.buffer_size", "source.options.net_arch", "oracle.steps")  # fmt: skip
    study = json.loads(json.dumps(STUDY))
    *way, last = keys[rng.integers(len(keys))].split(".")
    place = study
    for name in way:
        place = place.setdefault(name, {})
    place[last] = [huge(rng)] if last == "net_arch" else huge(rng)
    return written(folder, json.dumps(study))


def study_code(folder: Path, rng: Rng) -> Path:
    (folder / f"{CANARY}.py").write_text(f"import os\nos.system('touch {CANARY}')\n")
    name = (f"{CANARY}.py", f"{CANARY}:X", str(folder / f"{CANARY}.py:X"))[rng.integers(3)]
    keys = ({"task": name}, {"methods": [name]}, {"methods": [{"name": name}]})
    return written(folder, json.dumps(STUDY | keys[rng.integers(3)]))


# -- run folders -------------------------------------------------------------------------------


def run_with(folder: Path, change: Callable[[Path], None]) -> Path:
    """A copy of a shipped policy, changed, with hashes that fit."""
    run = folder / "run"
    shutil.copytree(SHIPPED, run)
    change(run)
    if all((run / name).is_file() for name in ("config.yaml", "task.json", "domains.yaml")):
        seal(run)
    for step in steps(run):
        refresh(run / "checkpoints" / f"{step:09d}")
    return run


def refresh(checkpoint: Path) -> None:
    """Let the manifest fit the files."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (checkpoint / name).read_bytes()
        entry = {"bytes": len(data), "sha256": files.sha256(checkpoint / name)}
        manifest["files"][name] = entry
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def checkpoint_of(run: Path) -> Path:
    return run / "checkpoints" / f"{steps(run)[-1]:09d}"


def edited(run: Path, **values: Any) -> None:
    config = files.read_yaml(run / "config.yaml")
    for key, value in values.items():
        place, _, inner = key.partition("__")
        if inner:
            config[place] = {**config[place], inner: value}
        else:
            config[place] = value
    (run / "config.yaml").write_text(json.dumps(config))


def run_code(folder: Path, rng: Rng) -> Path:
    (folder / f"{CANARY}.py").write_text(f"import os\nos.system('touch {CANARY}')\n")
    name = (f"{CANARY}.py", f"{CANARY}:X", str(folder / f"{CANARY}.py"))[rng.integers(3)]
    options: tuple[dict[str, Any], ...] = (
        {"task": name},
        {"method": {"name": name}},
        {"modifiers": [{"kind": name}]},
        {"recipe__activation": name},
        {"randomization": {"name": name}},
    )
    return run_with(folder, lambda run: edited(run, **options[rng.integers(len(options))]))


def run_huge(folder: Path, rng: Rng) -> Path:
    size = huge(rng)
    names = ("num_envs", "recipe__num_envs", "recipe__n_steps", "recipe__history", "steps",
             "recipe__batch_size", "recipe__net_arch", "seed", "curve_episodes")  # fmt: skip
    name = names[rng.integers(len(names))]
    value = [size, size] if name.endswith("net_arch") else size
    return run_with(folder, lambda run: edited(run, **{name: value}))


def run_lying_tensors(folder: Path, rng: Rng) -> Path:
    """Headers of safetensors that name more than there is, or places outside."""
    header = (
        {"a": {"dtype": "F32", "shape": [huge(rng)], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, huge(rng)]}},
        {"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}},
        {"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
    )[rng.integers(5)]
    text = json.dumps(header).encode()
    size = huge(rng) % 2**63 if rng.integers(2) else len(text)
    name = ("policy.safetensors", TRAINING)[rng.integers(2)]

    def change(run: Path) -> None:
        (checkpoint_of(run) / name).write_bytes(struct.pack("<Q", size) + text + bytes(8))

    return run_with(folder, change)


def run_other_tensors(folder: Path, rng: Rng) -> Path:
    """Weights of other shapes, types and names, and numbers that are not finite."""

    def change(run: Path) -> None:
        file = checkpoint_of(run) / "policy.safetensors"
        tensors = safetensors.torch.load(file.read_bytes())
        name = sorted(tensors)[rng.integers(len(tensors))]
        odd = (torch.zeros(3, 3), tensors[name].long(), tensors[name] * float("nan"), torch.ones(0))
        tensors[name] = odd[rng.integers(4)]
        file.write_bytes(safetensors.torch.save(tensors))

    return run_with(folder, change)


def run_links(folder: Path, rng: Rng) -> Path:
    names = ("config.yaml", "task.json", "checkpoints", "link", "checkpoints/link")
    name = names[rng.integers(len(names))]
    place = ("/etc/passwd", "/dev/zero", "/", "../../..", str(SHIPPED / "config.yaml"), name)

    def change(run: Path) -> None:
        link = run / name
        shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
        link.symlink_to(place[rng.integers(len(place))])

    run = folder / "run"
    shutil.copytree(SHIPPED, run)
    change(run)
    return run


def json_bomb(rng: Rng) -> str:
    depth = int(rng.integers(1_000, 200_000))
    return ("[" * depth, '{"a":' * depth, "9" * depth, f"1e{depth}", "NaN", f'"{"a" * depth}"')[
        rng.integers(6)
    ]


def run_json_bomb(folder: Path, rng: Rng) -> Path:
    name = ("task.json", "manifest.json", "card.json", "files.json", STATE, "m")[rng.integers(6)]

    def change(run: Path) -> None:
        at = checkpoint_of(run)
        file = {STATE: at / STATE, "m": at / "manifest.json"}.get(name, run / name)
        file.write_text(json_bomb(rng))

    run = folder / "run"
    shutil.copytree(SHIPPED, run)
    change(run)
    if name == STATE:
        refresh(checkpoint_of(run))
    return run


def run_index_outside(folder: Path, rng: Rng) -> Path:
    (folder / f"{CANARY}.py").write_text(f"import os\nos.system('touch {CANARY}')\n")
    place = (f"../{CANARY}.py:X", f"files/../../{CANARY}.py", str(folder / f"{CANARY}.py"))
    index = {"task": place[rng.integers(3)], "count": huge(rng), "bytes": -1}
    return run_with(folder, lambda run: files.write_json(run / "files.json", index))


def read_run(path: Path) -> Any:
    run = load_run(path)
    run.method_source()
    run.policy.predict(np.zeros((1, 5)))
    Simulation(run.task, run.domain, threads=1).close()


# -- ONNX --------------------------------------------------------------------------------------


def onnx_file(folder: Path, change: Callable[[Any, Any], None]) -> Path:
    onnx = importlib.import_module("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("w", floats, [5, 1], [0.0] * 5)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "w"], ["actions"])],
        "policy",
        [helper.make_tensor_value_info("obs", floats, [1, 5])],
        [helper.make_tensor_value_info("actions", floats, [1, 1])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    change(model, onnx)
    path = folder / "policy.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def onnx_external(folder: Path, rng: Rng) -> Path:
    """Weights in another file, outside."""
    place = ("/etc/passwd", "../" * 9 + "etc/passwd", CANARY, "/dev/zero")[rng.integers(4)]

    def change(model: Any, onnx: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": place, "offset": "0", "length": str(huge(rng))}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return onnx_file(folder, change)


def onnx_odd(folder: Path, rng: Rng) -> Path:
    """Unknown operators and domains, tensors that are larger than what is there, cut bytes."""

    def change(model: Any, onnx: Any) -> None:
        kind = rng.integers(3)
        if kind == 0:
            model.graph.node[0].domain = CANARY
            model.graph.node[0].op_type = "PyOp"
        elif kind == 1:
            model.graph.initializer[0].dims[:] = [min(huge(rng), 2**62)]
        else:
            model.graph.node[0].input[0] = CANARY

    path = onnx_file(folder, change)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - int(rng.integers(0, 40)) * int(rng.integers(2))])
    return path


# -- logs --------------------------------------------------------------------------------------

MAPPING = {"time": "time", "commands": {"slide": "u"}, "observations": {"position": "u"}}


def log_lying(folder: Path, rng: Rng) -> Path:
    header = {"times": {"dtype": "F64", "shape": [huge(rng)], "data_offsets": [0, 8]}}
    about = {"__metadata__": {"sim2real": json_bomb(rng), "sim2real-log": json_bomb(rng)}}
    text = json.dumps(header | about).encode()
    path = folder / "log.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    return path


def log_npz(folder: Path, rng: Rng) -> Path:
    return lying_npz(folder / "log.npz", rng)


def log_parquet(folder: Path, rng: Rng) -> Path:
    """An extension type that old readers unpickle, and a footer that lies about sizes."""
    field = pa.field("u", pa.float64(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickled(rng),
    })  # fmt: skip
    times = pa.field("time", pa.float64())
    rows = [pa.array([0.0, 0.02, 0.04]), pa.array([0.0, 1.0, 2.0])]
    path = folder / "log.parquet"
    pq.write_table(pa.Table.from_arrays(rows, schema=pa.schema([times, field])), path)
    if rng.integers(2):
        data = bytearray(path.read_bytes())
        at = len(data) - 8 - int(rng.integers(1, 300))
        data[at : at + 4] = rng.bytes(4)
        path.write_bytes(data)
    return path


def log_mcap(folder: Path, rng: Rng) -> Path:
    """Records whose lengths lie, and chunks that unpack to more than they say."""
    magic = b"\x89MCAP0\r\n"
    path = folder / "log.mcap"
    record = bytes([int(rng.integers(1, 16))]) + struct.pack("<Q", huge(rng) % 2**64)
    body = record + rng.bytes(int(rng.integers(0, 200)))
    path.write_bytes(magic + body + (magic if rng.integers(2) else b""))
    return path


def log_csv(folder: Path, rng: Rng) -> Path:
    cell = (
        "1e999",
        "=cmd|' /C calc'!A0",
        "\0",
        '"' * 99_999,
        f"__import__('{CANARY}')",
        "x" * 10**6,
    )
    rows = [f"0.0{k},{cell[rng.integers(len(cell))]}" for k in range(3)]
    return written(folder, "time,u\n" + "\n".join(rows), "log.csv")


def read_log(path: Path) -> Any:
    return Log.load(path, None if path.suffix in (".safetensors", ".npz") else MAPPING)


# -- models ------------------------------------------------------------------------------------


def mjcf(folder: Path, rng: Rng) -> Path:
    """Files of others, entities, plugins, and sizes that no machine has."""
    size = huge(rng)
    asset = (
        '<asset><mesh name="m" file="/etc/passwd"/></asset>',
        f'<asset><hfield name="h" nrow="{size}" ncol="{size}" size="1 1 1 1"/></asset>',
        f'<extension><plugin plugin="{CANARY}"/></extension>',
        f'<include file="{"../" * 9}etc/passwd"/>',
        f'<size memory="{size}G"/>',
        f'<worldbody><replicate count="{size}"><geom size="1"/></replicate></worldbody>',
        '<option timestep="nan"/>',
        f'<custom><numeric name="n" size="{size}"/></custom>',
    )[rng.integers(8)]
    entity = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' * int(rng.integers(2))
    return written(folder, f"{entity}<mujoco>{asset}</mujoco>", "robot.xml")


def read_model(path: Path) -> Any:
    check_model(path)
    load_task("cartpole")


KINDS: dict[str, tuple[Make, Read]] = {
    **{make.__name__: (make, read_zip) for make in (
        zip_code_in_data, zip_pickle_for_weights, zip_code_in_weights, zip_lying_sizes,
        zip_outside, zip_lying_tensor,
    )},
    **{make.__name__: (make, read_pkl) for make in (
        pkl_code, pkl_any_instructions, npz_with_objects, npz_lying,
    )},
    **{make.__name__: (make, read_domains) for make in (
        yaml_tags, yaml_aliases, yaml_deep, yaml_code, yaml_other_files, yaml_huge_numbers,
    )},
    **{make.__name__: (make, load_study) for make in (study_huge, study_code)},
    **{make.__name__: (make, read_run) for make in (
        run_code, run_huge, run_lying_tensors, run_other_tensors, run_links, run_json_bomb,
        run_index_outside,
    )},
    **{make.__name__: (make, read_session) for make in (onnx_external, onnx_odd)},
    **{make.__name__: (make, read_log) for make in (
        log_lying, log_npz, log_parquet, log_mcap, log_csv,
    )},
    "mjcf": (mjcf, read_model),
}  # fmt: skip
