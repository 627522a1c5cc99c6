"""Published benchmarks as domains, built for a task: `load_domain("hopper", "rwrl:easy")`."""

from sim2real.domains.presets.catalogue import is_preset, load_preset, preset_names

__all__ = ["is_preset", "load_preset", "preset_names"]
