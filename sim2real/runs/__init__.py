"""What a run folder holds: checkpoints, contract, copies of code, publishing, SB3 zips."""
