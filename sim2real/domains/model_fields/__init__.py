"""The fields of a model that a domain may change, and what follows from a change."""
