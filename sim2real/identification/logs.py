"""What can be done with logs: the functions of the verbs `sim2real log info, compare, record,
convert`.
"""

from __future__ import annotations

from sim2real.identification.compare import Comparison, compare
from sim2real.identification.info import ChannelInfo, Info, info
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.writer import LogWriter

__all__ = ["ChannelInfo", "Comparison", "Info", "Log", "LogWriter", "compare", "info", "record"]
