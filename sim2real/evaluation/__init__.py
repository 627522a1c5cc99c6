"""Rollouts of any policy, metrics, statistics, the audit of domains, wrappers, figures."""
