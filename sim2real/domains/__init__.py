"""What the world is like: distributions, parameters, domains, and a domain bound to a model."""

from sim2real.domains.binding import bind, prepare
from sim2real.domains.domain import Actuation, Domain, Dynamics, Sensing
from sim2real.domains.library import (
    domain_names,
    dump_domains,
    load_domain,
    load_domains,
    task_domains,
)
from sim2real.domains.plan import Plan

__all__ = [
    "Actuation",
    "Domain",
    "Dynamics",
    "Plan",
    "Sensing",
    "bind",
    "domain_names",
    "dump_domains",
    "load_domain",
    "load_domains",
    "prepare",
    "task_domains",
]
