"""The protocol of a world names what a simulation has, in MuJoCo's shapes."""

import inspect
from typing import get_type_hints

import mujoco.batch
import numpy as np
import pytest

from sim2real.simulation import Simulation
from sim2real.simulation.batches import _ON_REQUEST
from sim2real.world import Element, World

FIELDS = {
    name: kind
    for name, kind in get_type_hints(World, localns={"mujoco": mujoco}).items()
    if name != "model"
}
DATA = FIELDS.keys() & mujoco.batch.DATA_FIELDS
VIEWS = {"actuator", "body", "geom", "joint", "sensor", "site", "tendon"}
INTERNAL = {  # workspace of the engine, sleeping, flexes, sparse matrices: of no use to a reward
    *("M", "actuator_moment", "cdof", "cdof_dot", "history", "plastic"),
    *("moment_colind", "moment_rowadr", "moment_rownnz", "qfrc_inverse", "ten_J", "wrap_xpos"),
    *("ten_wrapadr", "ten_wrapnum", "wrap_obj", "qacc_warmstart"),
    *("bvh_aabb_dyn", "bvh_active", "plugin", "plugin_data", "plugin_state"),
    *("body_awake", "body_awake_ind", "dof_awake_ind", "parent_awake_ind"),
    *("tree_asleep", "tree_awake"),
    *("flex_hessian_valid", "flexedge_J", "flexedge_hessian", "flexedge_length"),
    *("flexedge_velocity", "flexelem_aabb", "flexelem_krot", "flexvert_conage"),
    *("flexvert_hessian", "flexvert_lambda"),
    *("nA", "nJ", "ne", "nf", "nidof", "nisland", "nl"),
    *("qDeriv", "qH", "qHDiagInv", "qLD", "qLDiagInv", "qLU"),
    *("solver_fwdinv", "solver_niter", "solver_nnz"),
}


@pytest.fixture(scope="module")
def simulation():
    return Simulation("quadruped", num_envs=3)


def test_every_field_of_mujoco_is_named_or_internal():
    assert DATA | INTERNAL == mujoco.batch.DATA_FIELDS
    assert not DATA & INTERNAL


def test_everything_named_is_there(simulation):
    for name in FIELDS.keys() - _ON_REQUEST.keys():
        value = getattr(simulation, name)
        if name in DATA:
            data = getattr(simulation.world_data(0), name)
            assert value.shape == (3, *np.shape(data)), name
            whole = np.issubdtype(value.dtype, np.integer)
            assert ("integer" in str(FIELDS[name])) == whole, name


def test_every_kind_of_element_has_a_view(simulation):
    assert {name for name, part in inspect.getmembers(World, callable) if name in VIEWS} == VIEWS
    for kind in VIEWS - {"tendon"}:  # the model has none
        name = getattr(simulation.model, kind)(0).name
        view: Element = getattr(simulation, kind)(name)
        assert (view.id, view.name) == (0, name)


def test_the_state_may_be_written_and_the_rest_may_not(simulation):
    simulation.qpos[:, 2] = 0.3
    simulation.joint(simulation.model.joint(0).name).qvel = 0.0
    with pytest.raises(ValueError, match="read-only"):
        simulation.xpos[:] = 0.0
