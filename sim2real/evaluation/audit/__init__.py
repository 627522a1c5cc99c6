"""The audit of a domain: every parameter has an effect, and every world is sound."""

from sim2real.evaluation.audit.auditor import Auditor, audit, audits
from sim2real.evaluation.audit.findings import AuditReport, Curve, End, Finding

__all__ = ["AuditReport", "Auditor", "Curve", "End", "Finding", "audit", "audits"]
