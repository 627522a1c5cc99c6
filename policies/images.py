"""Networks of images: three convolutions and a layer, beside the numbers that are no image.

    features = [n(o) | phi_1(i_1) | phi_2(i_2) ...],  o: numbers, n: their normalizer, i: images

as in Mnih et al. 2015, "Human-level control through deep reinforcement learning", with small
kernels and a stride of 2, so that images from 8 x 8 pixels have a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from sim2real.policies.encoders import EncodingExtractor
from sim2real.policies.normalizer import RunningNormalizer
from sim2real.task import ObservationTerm

CHANNELS = (16, 32, 32)
"""Of the three convolutions."""
KERNELS = (5, 3, 3)
BRIGHTEST = 255.0


@dataclass(frozen=True)
class ImageEncoder:
    """A network for each image, (m, channels, height, width) -> (m, size)."""

    size: int


class ImageNetwork(nn.Module):
    """The network of an image of `shape` (channels, height, width)."""

    def __init__(self, shape: Sequence[int], size: int) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = []
        for given, kernel in zip(CHANNELS, KERNELS, strict=True):
            layers += [nn.Conv2d(channels, given, kernel, 2, kernel // 2), nn.ReLU()]
            channels, height, width = given, math.ceil(height / 2), math.ceil(width / 2)
        layers += [nn.Flatten(), nn.Linear(channels * height * width, size), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """The encoding of images of 0 to 255. Shape: (m, channels, height, width) -> (m, size)."""
        code: Tensor = self.encoder(images.float() / BRIGHTEST - 0.5)
        return code


class ImageExtractor(EncodingExtractor):
    """The numbers of `terms` that are no image, and the encoding of each image.

    Without an `encoder` the images are left out: for a critic that knows what they show.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        terms: Sequence[ObservationTerm],
        encoder: ImageEncoder | None,
        normalize: bool = True,
    ) -> None:
        numbers = [column for term, place in places(terms) if not term.shape for column in place]
        images = [(term, place) for term, place in places(terms) if term.shape and encoder]
        size = 0 if encoder is None else encoder.size
        super().__init__(observation_space, numbers, len(images) * size)
        count = len(numbers)
        self.normalizer = RunningNormalizer(count, numbers) if normalize else nn.Identity()
        self._places = [(term.shape, place) for term, place in images]
        self.images = nn.ModuleList(ImageNetwork(term.shape, size) for term, _ in images)

    def encode(self, observations: Tensor) -> Tensor:
        """The encodings side by side. Shape: (m, all columns) -> (m, size)."""
        codes = [
            network(observations[:, place.start : place.stop].reshape(-1, *shape))
            for network, (shape, place) in zip(self.images, self._places, strict=True)
        ]
        return torch.cat(codes, dim=1) if codes else observations[:, :0]


def places(terms: Sequence[ObservationTerm]) -> list[tuple[ObservationTerm, range]]:
    """The terms with their columns."""
    ends = np.cumsum([term.size for term in terms]).tolist()
    return [(term, range(end - term.size, end)) for term, end in zip(terms, ends, strict=True)]


def has_images(terms: Sequence[ObservationTerm]) -> bool:
    """Whether one of the terms is an image."""
    return any(term.shape for term in terms)


def shifted(observations: Tensor, terms: Sequence[ObservationTerm], pixels: int) -> Tensor:
    """Observations of `terms` with each image moved by up to so many `pixels` each way.

    Every row by a number of its own, from Torch's generator; the edge is repeated (random shift,
    Kostrikov et al. 2020, "Image augmentation is all you need", arXiv:2004.13649).
    Shape: (m, all columns) -> (m, all columns).
    """
    moved = observations.clone()
    rows = len(observations)
    for term, place in places(terms):
        if not term.shape:
            continue
        _, height, width = term.shape
        images = observations[:, place.start : place.stop].reshape(rows, *term.shape)
        padded = functional.pad(images, (pixels,) * 4, mode="replicate")
        by = torch.randint(0, 2 * pixels + 1, (2, rows))
        y = (by[0][:, None] + torch.arange(height))[:, None, :, None]
        x = (by[1][:, None] + torch.arange(width))[:, None, None, :]
        channels = torch.arange(term.shape[0])[None, :, None, None]
        cut = padded[torch.arange(rows)[:, None, None, None], channels, y, x]
        moved[:, place.start : place.stop] = cut.reshape(rows, -1)
    return moved
