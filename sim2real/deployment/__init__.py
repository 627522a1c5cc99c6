"""From a run to a robot: the policy as one file, with the contract that it was trained under."""
