"""The transfer methods that are shipped, one file each."""

METHODS = {
    "fine_tune": "sim2real.transfer.methods.fine_tune:FineTune",
    "retrain": "sim2real.transfer.methods.retrain:Retrain",
    "freeze": "sim2real.transfer.methods.freeze:Freeze",
    "adapter": "sim2real.transfer.methods.adapter:Adapter",
    "residual": "sim2real.transfer.methods.residual:ResidualPolicy",
    "features": "sim2real.transfer.methods.features:Features",
    "distill": "sim2real.transfer.methods.distill:Distill",
    "mixed_replay": "sim2real.transfer.methods.mixed_replay:MixedReplayMethod",
    "darc": "sim2real.transfer.methods.darc:Darc",
    "par": "sim2real.transfer.methods.par:Par",
    "statistics": "sim2real.transfer.methods.statistics:Statistics",
    "align": "sim2real.transfer.methods.align:Align",
    "vgdf": "sim2real.transfer.methods.vgdf:Vgdf",
    "scratch": "sim2real.transfer.methods.scratch:Scratch",
    "universal": "sim2real.transfer.methods.universal:Universal",
    "identify": "sim2real.transfer.methods.identify:Identify",
}
"""The methods by name: the class that is imported when the method is used."""
