"""How a job ended: from the end of its plan and from its ledger. Pure."""

from signalbox_contracts.states import PlanState
from signalbox_reprocessor.store.jobs import LedgerSums


def judge(plan: PlanState, reason: str, sums: LedgerSums) -> tuple[str, str | None]:
    """Status and error. Green only if every file was read to its end and its counts balance."""
    if plan is PlanState.CANCELLED:
        return "cancelled", None
    faults: list[str] = []
    if sums.failed:
        faults.append(f"{sums.failed} files failed")
    if sums.unread:
        faults.append(f"{sums.unread} files were not read to their end")
    if sums.unbalanced:
        faults.append(f"in {sums.unbalanced} files, lines read are not sent + skipped + failed")
    if plan is PlanState.SUCCEEDED and not faults:
        return "completed", None
    if plan is not PlanState.SUCCEEDED and not sums.failed and reason:
        faults.append(reason)
    return "failed", "; ".join(faults) or f"the plan of its workers ended {plan.value}"
