"""Rollouts of any policy, and what they say: metrics, statistics, wrappers, the report."""
