"""The executor with the plan's limit taken out of the claim statement and of what is locked for it."""

from signalbox_executor.app import executor
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import claim

# each pair: a clause that reads the plan's limit, and the same for a plan without one
CLAUSES = {
    "_CLAIM": ("COALESCE(p.task_limit, 2147483647)", "2147483647"),
    "_LOCK": ("COALESCE(p.task_limit, 2147483647)", "2147483647"),
}

for name, (clause, without) in CLAUSES.items():
    statement: str = getattr(claim, name)
    if clause not in statement:
        raise SystemExit(f"claim.{name} has no {clause} any more: this entry shows nothing")
    setattr(claim, name, statement.replace(clause, without))
executor(ExecutorSettings.load()).run()
