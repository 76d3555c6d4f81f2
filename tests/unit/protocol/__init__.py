"""An explicit-state model checker of the claim protocol (docs/architecture/protocol-model.md).

`cd tests && ../.venv/bin/python -m unit.protocol` lists the variants; with a name it prints that one's shortest trace.
"""
