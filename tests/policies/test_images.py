"""Networks of images: which columns they read, and images that are moved."""

import numpy as np
import torch
from gymnasium import spaces

from sim2real.policies.images import ImageEncoder, ImageExtractor, shifted
from sim2real.task import ObservationTerm
from sim2real.transfer.pixel_buffer import PixelBuffer

TERMS = (
    ObservationTerm("speed", 2),
    ObservationTerm("eye", 3 * 8 * 9, shape=(3, 8, 9)),
    ObservationTerm("place", 1, group="privileged"),
)
SIZE = 2 + 3 * 8 * 9 + 1
SPACE = spaces.Box(-np.inf, np.inf, (SIZE,), np.float64)


def test_numbers_pass_and_images_are_encoded():
    extractor = ImageExtractor(SPACE, TERMS, ImageEncoder(5))
    observations = torch.rand(4, SIZE)
    features = extractor(observations)
    assert features.shape == (4, 3 + 5)
    numbers = extractor.normalizer(observations[:, [0, 1, SIZE - 1]])
    torch.testing.assert_close(features[:, :3], numbers)
    brighter = observations.clone()
    brighter[:, 2:-1] += 100.0
    changed = extractor(brighter)
    torch.testing.assert_close(changed[:, :3], features[:, :3])
    assert not torch.equal(changed[:, 3:], features[:, 3:])


def test_a_critic_that_knows_what_images_show_leaves_them_out():
    extractor = ImageExtractor(SPACE, TERMS, None)
    assert extractor(torch.rand(4, SIZE)).shape == (4, 3)
    assert not list(extractor.parameters())


def test_images_are_moved_each_by_its_own_number_of_pixels():
    rows = 64
    observations = torch.zeros(rows, SIZE)
    images = torch.arange(9.0) + 10.0 * torch.arange(8.0)[:, None]  # column + 10 row
    observations[:, 2:-1] = images.expand(3, 8, 9).reshape(-1)
    observations[:, [0, 1, -1]] = 7.0
    torch.manual_seed(0)
    moved = shifted(observations, TERMS, 2)
    assert (moved[:, [0, 1, -1]] == 7.0).all()
    seen = moved[:, 2:-1].reshape(rows, 3, 8, 9)
    assert (seen[:, 0] == seen[:, 2]).all()  # every channel alike
    inner = seen[:, 0, 4, 4] - 44.0  # dx + 10 dy
    dy = torch.round(inner / 10.0)
    dx = inner - 10.0 * dy
    assert {*dx.tolist()} == {*dy.tolist()} == {-2.0, -1.0, 0.0, 1.0, 2.0}
    corner = seen[:, 0, 0, 0]  # the edge is repeated
    assert (corner == dx.clamp(min=0.0) + 10.0 * dy.clamp(min=0.0)).all()
    torch.manual_seed(0)
    assert torch.equal(shifted(observations, TERMS, 2), moved)


def test_a_buffer_gives_back_numbers_and_pixels():
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    buffer = PixelBuffer(6, action_space, 2, TERMS)
    rng = np.random.default_rng(0)
    stored = []
    for step in range(3):
        observations = rng.normal(size=(2, SIZE)).astype(np.float32)
        observations[:, 2:-1] = rng.integers(0, 256, (2, SIZE - 3))
        stored.append(observations)
        buffer.add(
            observations, observations, np.full((2, 1), step), np.zeros(2), np.zeros(2), [{}] * 2
        )
    known = {row.tobytes() for rows in stored for row in rows}
    drawn = buffer.sample(32).observations.numpy()
    assert {row.tobytes() for row in drawn} == known
    assert buffer.next_observations.dtype == np.uint8
