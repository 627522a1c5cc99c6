"""Run folders: checkpoints, contract, copies of code, publishing, SB3 zips."""
