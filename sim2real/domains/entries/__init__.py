"""The entries of a domain file: dynamics, actuation, sensing, disturbances."""
