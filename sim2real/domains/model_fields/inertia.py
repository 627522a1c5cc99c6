"""Inertia of rigid bodies as pseudo-inertia matrices, and their log-Cholesky parameters.

A body's pseudo-inertia is the 4 x 4 matrix J of the second moments of its mass distribution,

    J = [[S, h], [h', m]],   S = integral of x x' dm,   h = m c (mass times centre of mass),

in the body's frame. A body is physical if and only if J is positive definite (Wensing, Kim &
Slotine 2018, "Linear matrix inequalities for physically consistent inertial parameter
identification"), and then J = U U' with the upper triangular

    U = e^alpha [[e^d1, s12, s13, t1], [0, e^d2, s23, t2], [0, 0, e^d3, t3], [0, 0, 0, 1]]

for exactly one theta = (alpha, d1, d2, d3, s12, s23, s13, t1, t2, t3) (Rucker & Wensing 2022,
"Smooth parameterization of rigid-body inertia"): every theta is a physical body. The mass is
e^(2 alpha) kg and (t1, t2, t3) the centre of mass in m.

All functions take and give arrays with any leading shape.
"""

from __future__ import annotations

import math

import numpy as np

from sim2real.task import Array

LOG_CHOLESKY = {
    name: index
    for index, name in enumerate(("alpha", "d1", "d2", "d3", "s12", "s23", "s13", "t1", "t2", "t3"))
}
"""Component -> its place among the ten parameters."""


def pseudo_inertia(mass: Array, inertia: Array, ipos: Array, iquat: Array) -> Array:
    """The pseudo-inertia, (..., 4, 4), of bodies as MuJoCo has them.

    `mass` (...,) in kg, principal `inertia` (..., 3) in kg m², centre of mass `ipos` (..., 3) in m
    and principal axes `iquat` (..., 4), both in the body's frame.
    """
    axes = matrices(iquat)
    # the second moments about the principal axes: half the trace, less the moment of inertia
    moments = inertia.sum(axis=-1, keepdims=True) / 2 - inertia
    central = (axes * moments[..., None, :]) @ np.swapaxes(axes, -1, -2)
    point = np.concatenate([ipos, np.ones_like(ipos[..., :1])], axis=-1)
    result: Array = mass[..., None, None] * point[..., :, None] * point[..., None, :]
    result[..., :3, :3] += central
    return result


def body_inertia(pseudo: Array) -> tuple[Array, Array, Array, Array]:
    """Mass, principal inertia (descending), centre of mass and principal axes of `pseudo`.

    The inverse of `pseudo_inertia`, up to the order of equal axes and the sign of the quaternion.
    """
    mass = pseudo[..., 3, 3]
    ipos = pseudo[..., :3, 3] / mass[..., None]
    offset = mass[..., None, None] * ipos[..., :, None] * ipos[..., None, :]
    # the axis of the smallest second moment has the largest moment of inertia
    moments, axes = np.linalg.eigh(pseudo[..., :3, :3] - offset)
    inertia = moments.sum(axis=-1, keepdims=True) - moments
    right_handed = np.where(np.linalg.det(axes) < 0, -1.0, 1.0)
    axes[..., :, 2] *= right_handed[..., None]
    return mass, inertia, ipos, quaternions(axes)


def log_cholesky(pseudo: Array) -> Array:
    """The ten parameters, (..., 10), of `pseudo`; numpy.linalg.LinAlgError if not physical."""
    flipped = pseudo[..., ::-1, ::-1]
    upper = np.linalg.cholesky(flipped)[..., ::-1, ::-1]
    scale = upper[..., 3, 3]
    unit = upper / scale[..., None, None]
    parts = [
        np.log(scale),
        *(np.log(unit[..., k, k]) for k in range(3)),
        *(unit[..., row, column] for row, column in ((0, 1), (1, 2), (0, 2))),
        *(unit[..., k, 3] for k in range(3)),
    ]
    return np.stack(parts, axis=-1)


def from_log_cholesky(theta: Array) -> Array:
    """The pseudo-inertia, (..., 4, 4), of the ten parameters (..., 10)."""
    upper = np.zeros((*theta.shape[:-1], 4, 4))
    upper[..., [0, 1, 2], [0, 1, 2]] = np.exp(theta[..., 1:4])
    upper[..., [0, 1, 0], [1, 2, 2]] = theta[..., 4:7]
    upper[..., :3, 3] = theta[..., 7:]
    upper[..., 3, 3] = 1.0
    upper *= np.exp(theta[..., :1])[..., None]
    result: Array = upper @ np.swapaxes(upper, -1, -2)
    return result


def with_point_mass(pseudo: Array, mass: Array, point: Array) -> Array:
    """`pseudo` and a point of `mass` (...,) kg at `point` (..., 3) m together."""
    place = np.concatenate([point, np.ones_like(point[..., :1])], axis=-1)
    result: Array = pseudo + mass[..., None, None] * place[..., :, None] * place[..., None, :]
    return result


def stretched(pseudo: Array, matrix: Array, fixed: Array) -> Array:
    """`pseudo` with its mass moved from x to fixed + matrix (x - fixed), each grain of it.

    `matrix` is (..., 3, 3), `fixed` (..., 3) in m.
    """
    map_ = np.zeros(np.broadcast_shapes(pseudo.shape, (*matrix.shape[:-2], 4, 4)))
    map_[..., :3, :3] = matrix
    map_[..., :3, 3] = fixed - (matrix @ fixed[..., None])[..., 0]
    map_[..., 3, 3] = 1.0
    result: Array = map_ @ pseudo @ np.swapaxes(map_, -1, -2)
    return result


def matrices(quat: Array) -> Array:
    """Rotation matrices, (..., 3, 3), of unit quaternions (..., 4), w first."""
    products = quat[..., :, None] * quat[..., None, :]
    rotated: Array = products.reshape(*quat.shape[:-1], 16) @ _PRODUCTS
    return _IDENTITY + rotated.reshape(*quat.shape[:-1], 3, 3)


def quaternions(matrix: Array) -> Array:
    """Unit quaternions, (..., 4), w first and not negative, of rotation matrices (..., 3, 3).

    The eigenvector to the largest eigenvalue, 3, of Bar-Itzhack's symmetric 4 x 4 matrix
    (2000, "New method for extracting the quaternion from a rotation matrix").
    """
    shape = matrix.shape[:-2]
    symmetric = (matrix.reshape(*shape, 9) @ _BAR_ITZHACK).reshape(*shape, 4, 4)
    quat = np.linalg.eigh(symmetric)[1][..., 3]
    result: Array = np.where(quat[..., :1] < 0, -quat, quat)
    return result


def _table(size: int, terms: str) -> Array:
    """A matrix that makes linear combinations of `size` numbers: "+12-21, .." is x12 - x21, .."""
    width = math.isqrt(size)
    parts = [part.strip() for part in terms.split(",")]
    table = np.zeros((size, len(parts)))
    for column, part in enumerate(parts):
        for k in range(0, len(part), 3):
            row, other = int(part[k + 1]), int(part[k + 2])
            table[row * width + other, column] += 1.0 if part[k] == "+" else -1.0
    return table


_IDENTITY = np.eye(3)
# rotation matrix less the identity, of the products of w, x, y, z (0 to 3), row by row
_PRODUCTS = 2 * _table(16, "-22-33, +12-03, +13+02, +12+03, -11-33, +23-01, +13-02, +23+01, -11-22")
# the symmetric matrix, of the numbers of a rotation matrix, row by row
_BAR_ITZHACK = _table(
    9,
    "+00+11+22, +21-12, +02-20, +10-01, +21-12, +00-11-22, +01+10, +02+20,"
    "+02-20, +01+10, +11-00-22, +12+21, +10-01, +02+20, +12+21, +22-00-11",
)
