"""Topics of MCAP files and of ROS 2 bags, as one table.

Each topic has times of its own. The rows of the table are the messages of one of them, the one that
the mapping names as `time`: commands and marks are what was given last then, other values are
interpolated. Only ROS 2's own message types and JSON are read: the definitions of others would come
from the file as code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, brief, unknown
from sim2real.extras import needed
from sim2real.identification.formats.mapping import LogMapping
from sim2real.identification.formats.rows import MOST_BYTES, Table, check_size, held_at
from sim2real.plain import parse_json
from sim2real.world import Array

STAMP = ".header.stamp"
"""After the topic of `time`: the rows are at the stamps of the messages, not at their recording."""
_PART = re.compile(r"\.(\w+)|\[([^\]]+)\]")


@dataclass(frozen=True)
class Message:
    """One message of a topic, recorded at `ns`."""

    topic: str
    ns: int
    data: Any


@dataclass
class _Series:
    """What the messages of a topic had in some columns, and when."""

    ns: list[int] = field(default_factory=list)
    rows: list[list[NDArray[np.float64]]] = field(default_factory=list)


def is_bag(path: Path) -> bool:
    """Whether a folder is a bag of ROS 2."""
    return (path / "metadata.yaml").is_file()


def read_mcap(path: Path, mapping: LogMapping) -> Table:
    """The columns "/topic.field", "/topic.field[3]" or "/topic.field[elbow]" of an MCAP file.

    A name in brackets is looked up in the field `name` of the message, as in JointState.
    """
    return _table(path, mapping, lambda topics: _mcap_messages(path, topics))


def read_bag(path: Path, mapping: LogMapping) -> Table:
    """The columns of a ROS 2 bag, a folder or a .db3 file, as those of `read_mcap`."""
    return _table(path, mapping, lambda topics: _bag_messages(path, topics))


def _mcap_messages(path: Path, topics: Collection[str]) -> Iterator[Message]:
    mcap = needed("mcap.reader", "MCAP", "logs")
    try:
        with path.open("rb") as file:
            reader = mcap.make_reader(file)
            summary = reader.get_summary()
            known = {one.topic for one in summary.channels.values()} if summary else set(topics)
            _check_topics(topics, known)
            for chunk in summary.chunk_indexes if summary else ():
                if chunk.uncompressed_size > MOST_BYTES:
                    raise UserError(f"{path} has a chunk of {chunk.uncompressed_size:,} bytes")
            for schema, channel, message in reader.iter_messages(topics=list(topics)):
                kind = (channel.message_encoding, schema.name if schema else "")
                yield Message(channel.topic, message.log_time, _decoded(*kind, message.data))
    except UserError:
        raise
    except Exception as error:  # the package raises what it meets in damaged bytes
        raise UserError(f"{path} is no MCAP file, or it is damaged: {brief(str(error))}") from None


def _bag_messages(path: Path, topics: Collection[str]) -> Iterator[Message]:
    bags = needed("rosbags.rosbag2", "a ROS 2 bag", "logs")
    try:
        with bags.Reader(path) as reader:
            _check_topics(topics, {one.topic for one in reader.connections})
            chosen = [one for one in reader.connections if one.topic in topics]
            for connection, ns, data in reader.messages(chosen):
                yield Message(connection.topic, ns, _decoded("cdr", connection.msgtype, data))
    except UserError:
        raise
    except Exception as error:  # the package raises what it meets in damaged bytes
        raise UserError(f"{path} is no ROS 2 bag, or it is damaged: {brief(str(error))}") from None


def _check_topics(topics: Collection[str], known: Collection[str]) -> None:
    for topic in topics:
        if topic not in known:
            raise unknown("topic", topic, sorted(known))


def _decoded(encoding: str, kind: str, data: bytes) -> Any:
    if encoding == "json":
        return parse_json(bytes(data).decode())
    if encoding != "cdr":
        raise UserError(f"messages are encoded as {encoding!r}; allowed: json, cdr")
    types = needed("rosbags.typesys", "a message of ROS 2", "logs")
    store = _stores.setdefault("ros2", types.get_typestore(types.Stores.LATEST))
    if kind not in store.fielddefs:
        raise UserError(
            f"messages of type {kind} are not read; allowed: JSON, and ROS 2's own types, such as "
            "sensor_msgs/msg/JointState or std_msgs/msg/Float64MultiArray"
        )
    try:
        return store.deserialize_cdr(data, kind)
    except Exception as error:  # the generated readers raise what they meet in damaged bytes
        raise UserError(f"a message of type {kind} is damaged: {brief(str(error))}") from None


_stores: dict[str, Any] = {}


def _table(path: Path, mapping: LogMapping, messages: Any) -> Table:
    clock = mapping.time.columns[0]
    stamped = clock.endswith(STAMP)
    columns = [name for name in mapping.named if name != clock]
    topics = {_topic(name) for name in mapping.named}
    own = {topic: [name for name in columns if _topic(name) == topic] for topic in topics}
    series = {topic: _Series() for topic in topics}
    numbers = 0
    for message in messages(topics):
        found = [_value(path, message, name) for name in own[message.topic]]
        numbers += 1 + sum(map(len, found))
        check_size(str(path), numbers, 1)
        series[message.topic].ns.append(_stamp(message) if stamped else message.ns)
        series[message.topic].rows.append(found)
    for topic, one in series.items():
        if len(one.ns) < 2:
            raise UserError(f"{path}: topic {topic!r} has {len(one.ns)} messages; allowed: 2")
    return _merged(path, mapping, series, own)


def _topic(column: str) -> str:
    return column.partition(".")[0].partition("[")[0]


def _stamp(message: Message) -> int:
    """The time in the header of a message, in ns, or when it was recorded if it has none."""
    try:
        stamp = _field(_field(message.data, "header"), "stamp")
        seconds = stamp["sec"] if isinstance(stamp, Mapping) else stamp.sec
        rest = stamp["nanosec"] if isinstance(stamp, Mapping) else stamp.nanosec
        return int(seconds) * 1_000_000_000 + int(rest)
    except (KeyError, AttributeError, TypeError, ValueError):
        return message.ns


def _value(path: Path, message: Message, column: str) -> NDArray[np.float64]:
    """The numbers of a column in a message, (k,)."""
    rest = column.removeprefix(message.topic)
    parts = list(_PART.finditer(rest))
    try:
        if "".join(part[0] for part in parts) != rest:
            raise KeyError(rest)
        owner = data = message.data
        for part in parts:
            if part[1]:
                owner, data = data, _field(data, part[1])
            else:
                data = data[_place(owner, part[2])]
        return np.atleast_1d(np.asarray(data, dtype=np.float64)).ravel()
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError(
            f"{path}: a message of {message.topic!r} has no numbers at {rest!r}; it has "
            f"{', '.join(_fields(message.data))}"
        ) from None


def _field(data: Any, name: str) -> Any:
    if isinstance(data, Mapping):
        return data[name]
    if name not in _fields(data):
        raise KeyError(name)
    return getattr(data, name)


def _fields(data: Any) -> list[str]:
    names = data if isinstance(data, Mapping) else getattr(data, "__dataclass_fields__", ())
    return [str(name) for name in names if not str(name).startswith("__")]


def _place(owner: Any, text: str) -> int:
    """The place of an entry that is named by its number, or by the field `name` beside it."""
    return int(text) if text.isdigit() else list(_field(owner, "name")).index(text)


def _merged(
    path: Path,
    mapping: LogMapping,
    series: Mapping[str, _Series],
    own: Mapping[str, list[str]],
) -> Table:
    clock = mapping.time.columns[0]
    zero = series[_topic(clock)].ns[0]
    times = _seconds(series[_topic(clock)], zero)
    marks = [mapping.episode, mapping.terminated, mapping.only_where]
    held = {*(one.columns[0] for one in mapping.commands.values()), *filter(None, marks)}
    table: dict[str, Array] = {clock: times}
    for topic, names in own.items():
        at = _seconds(series[topic], zero)
        for place, name in enumerate(names):
            values = _stacked(path, name, [row[place] for row in series[topic].rows])
            found = _at(at, values, times, name in held)
            single = found.shape[1] == 1
            table |= {name if single else f"{name}[{k}]": one for k, one in enumerate(found.T)}
    return _between(table)


def _seconds(series: _Series, zero: int) -> Array:
    return np.array([(ns - zero) * 1e-9 for ns in series.ns])


def _stacked(path: Path, name: str, rows: list[NDArray[np.float64]]) -> Array:
    if len({len(row) for row in rows}) > 1:
        raise UserError(f"{path}: the lists of {name!r} differ in length")
    return np.stack(rows)


def _at(given: Array, values: Array, times: Array, held: bool) -> Array:
    """Values (n, k) of a topic at the times (m,) of another, (m, k); NaN where there are none."""
    order = np.argsort(given, kind="stable")
    given, values = given[order], values[order]
    if np.array_equal(given, times):
        return values
    if held:
        return held_at(given, values, times)
    columns = [np.interp(times, given, one, left=np.nan, right=np.nan) for one in values.T]
    return np.stack(columns, axis=1)


def _between(table: Mapping[str, Array]) -> Table:
    """The rows from where all topics have begun to where the first one ends."""
    whole = np.flatnonzero(np.all([np.isfinite(one) for one in table.values()], axis=0))
    rows = slice(whole[0], whole[-1] + 1) if len(whole) else slice(0, 0)
    return {name: one[rows] for name, one in table.items()}
