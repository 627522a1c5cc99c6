"""Other models as targets: MJCF files, MuJoCo Menagerie."""
