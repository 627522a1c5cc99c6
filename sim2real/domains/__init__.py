"""Domains: distributions, parameters, files, and a domain bound to a model."""

from sim2real.domains.binding.bind import bind, prepare, prepared_spec
from sim2real.domains.binding.subject import Subject
from sim2real.domains.domain import (
    Domain,
    default_domain,
    domain_names,
    dump_domains,
    load_domain,
    load_domains,
    load_each,
    named_apart,
    preset_domains,
    task_domains,
)
from sim2real.domains.entries.entry import Dynamics
from sim2real.domains.entries.imperfection import Actuation, Sensing
from sim2real.domains.plan import Plan

__all__ = [
    "Actuation",
    "Domain",
    "Dynamics",
    "Plan",
    "Sensing",
    "Subject",
    "bind",
    "default_domain",
    "domain_names",
    "dump_domains",
    "load_domain",
    "load_domains",
    "load_each",
    "named_apart",
    "prepare",
    "prepared_spec",
    "preset_domains",
    "task_domains",
]
