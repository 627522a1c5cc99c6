"""Encodings: of the control steps that a policy observes, and of what is privileged.

    history:   [o_t | phi(o_t-n+1, ..., o_t)],   phi: 1-D convolutions over the time, or a GRU
    context:   [o_t | mu(p_t)],                  p: the privileged columns, mu: a network
    estimate:  [o_t | e(o_t)],                   e: a network that learns to give some of p

Actor and critic read what is observed at present as it is, and the encoding beside it. The second
is the first phase of rapid motor adaptation, the first the network of the second phase (Kumar et
al. 2021, "RMA: rapid motor adaptation for legged robots", arXiv:2107.04034). An encoder learns
with the network that reads it, actor and critic have one each. The third, of the actor alone,
learns by regression (see `policies.estimation`).

Every number is normalized, those of the past by the statistics of the present.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional

from sim2real.errors import UserError, unknown
from sim2real.policies.normalizer import RunningNormalizer, finite
from sim2real.simulation.history import frames_of
from sim2real.task import ObservationTerm, labels

CHANNELS = 32
"""Of each layer of a convolution over the time, as of Kumar et al. 2021; units of a GRU."""
SHORTEST = 2
"""Each layer halves the number of time steps, down to this."""
ENCODING = "encoding"
"""In the name of a feature, which no column of an observation has: those end in brackets."""


class Recurrence(nn.GRU):
    """A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) over a stretch of time.

    It starts from a state of zeros, so it is a function of what it is given alone. The loop is of
    plain operations, which every format of an export has.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def forward(self, past: Tensor) -> Tensor:  # type: ignore[override]
        """The last state. Shape: (m, k, steps) -> (m, units)."""
        given = functional.linear(past.transpose(1, 2), self.weight_ih_l0, self.bias_ih_l0)
        state = torch.zeros_like(given[:, 0, : self.hidden_size])
        for now in given.unbind(dim=1):
            before = functional.linear(state, self.weight_hh_l0, self.bias_hh_l0)
            (reset, update, new), (reset_h, update_h, new_h) = now.chunk(3, 1), before.chunk(3, 1)
            candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
            state = candidate + torch.sigmoid(update + update_h) * (state - candidate)
        return state


@dataclass(frozen=True)
class HistoryEncoder:
    """A network of the last `steps` control steps, (m, k, steps) -> (m, size)."""

    steps: int
    size: int
    activation: type[nn.Module]
    kind: Literal["conv", "gru"] = "conv"

    def network(self, inputs: int) -> nn.Sequential:
        """The network for (m, inputs, steps)."""
        return self._recurrent(inputs) if self.kind == "gru" else self._convolutions(inputs)

    def _recurrent(self, inputs: int) -> nn.Sequential:
        return nn.Sequential(Recurrence(inputs, CHANNELS), nn.Linear(CHANNELS, self.size))

    def _convolutions(self, inputs: int) -> nn.Sequential:
        """One layer on each time step alone; then windows of 3, every other one; then a layer."""
        layers: list[nn.Module] = [nn.Conv1d(inputs, CHANNELS, 1), self.activation()]
        steps = self.steps
        while steps > SHORTEST:
            layers += [nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1), self.activation()]
            steps = (steps + 1) // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS * steps, self.size))


@dataclass(frozen=True)
class ContextEncoder:
    """A network of the privileged columns; the last of the `layers` is the encoding."""

    layers: tuple[int, ...]
    activation: type[nn.Module]

    def network(self, inputs: int) -> nn.Sequential:
        """Layers with the activation between them, (m, inputs) -> (m, layers[-1])."""
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *self.layers), self.layers, strict=False):
            layers += [nn.Linear(before, after), self.activation()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Estimator:
    """A network that estimates privileged terms; `sizes` has their columns, by name."""

    sizes: Mapping[str, int]
    layers: tuple[int, ...]
    activation: type[nn.Module]

    def network(self, inputs: int) -> nn.Sequential:
        """Hidden layers and a linear one, (m, inputs) -> (m, all columns of the terms)."""
        layers = (*self.layers, sum(self.sizes.values()))
        return ContextEncoder(layers, self.activation).network(inputs)


class EncodingExtractor(BaseFeaturesExtractor):
    """The columns `shown` of the observation, and an encoding beside them."""

    encoder: nn.Sequential
    normalizer: nn.Module

    def __init__(self, space: spaces.Box, shown: Sequence[int], size: int) -> None:
        super().__init__(space, len(shown) + size)
        self.shown, self.size = [int(column) for column in shown], size

    def feature_labels(self, observed: Sequence[str]) -> list[str]:
        """The name of each feature, where the columns of the observation are `observed`."""
        encoding = [f"{ENCODING} {index}" for index in range(self.size)]
        return [observed[column] for column in self.shown] + encoding

    def encoded_labels(self, observed: Sequence[str]) -> list[str]:
        """The name of each number that the encoder reads, in the same way."""
        raise NotImplementedError("def encoded_labels(self, observed) -> list[str]")

    def encode(self, observations: Tensor) -> Tensor:
        """The encoding. Shape: (m, all columns) -> (m, size)."""
        raise NotImplementedError("def encode(self, observations) -> (m, size) tensor")

    def forward(self, observations: Tensor) -> Tensor:
        """Features. Shape: (m, all columns) -> (m, features)."""
        shown = self.normalizer(self._flat(observations)[:, self.shown])
        return torch.cat([shown, self.encode(observations)], dim=1)

    def _flat(self, observations: Tensor) -> Tensor:
        flat = observations.flatten(start_dim=1)
        return flat if self.training else finite(flat)


class HistoryExtractor(EncodingExtractor):
    """What `terms` show at present, what is privileged among them, and the encoded history."""

    def __init__(
        self,
        observation_space: spaces.Box,
        terms: Sequence[ObservationTerm],
        encoder: HistoryEncoder,
        normalize: bool = True,
    ) -> None:
        sensed = policy_terms(terms)
        frames = frames_of(sensed, encoder.steps)
        privileged = range(len(labels(sensed)), len(labels(terms)))
        super().__init__(observation_space, [*frames[-1], *privileged], encoder.size)
        self.frames = torch.from_numpy(frames)
        size = len(self.shown)
        self.normalizer = RunningNormalizer(size, self.shown) if normalize else nn.Identity()
        self.encoder = encoder.network(frames.shape[1])

    def encode(self, observations: Tensor) -> Tensor:
        """The encoding. Shape: (m, all columns) -> (m, size)."""
        past = self.normalizer(observations.flatten(start_dim=1)[:, self.frames])
        code: Tensor = self.encoder(past.transpose(1, 2))
        return code

    def encoded_labels(self, observed: Sequence[str]) -> list[str]:
        """The name of each channel."""
        return [observed[column] for column in self.frames[-1].tolist()]


class ContextExtractor(EncodingExtractor):
    """The policy's columns of `terms`, and an encoding of the privileged ones."""

    def __init__(
        self,
        observation_space: spaces.Box,
        terms: Sequence[ObservationTerm],
        encoder: ContextEncoder,
        normalize: bool = True,
    ) -> None:
        count, every = len(labels(policy_terms(terms))), len(labels(terms))
        super().__init__(observation_space, range(count), encoder.layers[-1])
        self.normalizer = RunningNormalizer(every) if normalize else nn.Identity()
        self.encoder = encoder.network(every - count)

    def encode(self, observations: Tensor) -> Tensor:
        """The encoding. Shape: (m, all columns) -> (m, size)."""
        seen = self.normalizer(observations.flatten(start_dim=1))
        code: Tensor = self.encoder(seen[:, len(self.shown) :])
        return code

    def encoded_labels(self, observed: Sequence[str]) -> list[str]:
        """The names of the privileged columns."""
        return list(observed[len(self.shown) :])


class EstimatingExtractor(EncodingExtractor):
    """The policy's columns of `terms`, and an estimate of some of the privileged ones.

    The estimate is of normalized columns, and a constant to the network that reads it. Where the
    observation has no privileged columns, as on a robot, there is nothing to learn it from.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        terms: Sequence[ObservationTerm],
        estimator: Estimator,
        normalize: bool = True,
    ) -> None:
        count, sizes = len(labels(policy_terms(terms))), estimator.sizes
        super().__init__(observation_space, range(count), sum(sizes.values()))
        self.estimated = estimated_columns(terms, sizes)
        columns = [*self.shown, *self.estimated]
        self.normalizer = RunningNormalizer(len(columns), columns) if normalize else nn.Identity()
        self.encoder = estimator.network(count)

    def encode(self, observations: Tensor) -> Tensor:
        """The estimate. Shape: (m, all columns) -> (m, size)."""
        seen = self.normalizer(observations.flatten(start_dim=1)[:, self.shown])
        return self._estimate(seen).detach()

    def encoded_labels(self, observed: Sequence[str]) -> list[str]:
        """The names of the policy's columns."""
        return [observed[column] for column in self.shown]

    def error(self, observations: Tensor) -> Tensor:
        """Mean squared error of the estimate of normalized columns. Shape: (m, all columns)."""
        seen = self.normalizer(observations[:, [*self.shown, *self.estimated]])
        given, true = seen[:, : len(self.shown)], seen[:, len(self.shown) :]
        return functional.mse_loss(self._estimate(given), true)

    def _estimate(self, seen: Tensor) -> Tensor:
        estimate: Tensor = self.encoder(seen)
        return estimate


def estimated_columns(terms: Sequence[ObservationTerm], sizes: Mapping[str, int]) -> list[int]:
    """The columns of the terms that `sizes` names; none where nothing is privileged.

    UserError for a term that is not there, or of another size.
    """
    first = np.cumsum([0, *(term.size for term in terms)])
    places = {
        term.name: range(start, start + term.size)
        for term, start in zip(terms, first, strict=False)
        if term.group == "privileged"
    }
    for name, size in sizes.items() if places else ():
        if name not in places:
            raise unknown("privileged term to estimate", name, places)
        if len(places[name]) != size:
            raise UserError(f"estimate: {name} is {size}; the term has {len(places[name])} columns")
    return [column for name in sizes for column in places.get(name, ())]


def policy_terms(terms: Sequence[ObservationTerm]) -> tuple[ObservationTerm, ...]:
    """The terms that a policy on a robot sees."""
    return tuple(term for term in terms if term.group == "policy")
