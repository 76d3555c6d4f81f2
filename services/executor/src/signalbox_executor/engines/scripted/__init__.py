"""The scripted engine: a server of its own that runs nothing, and says what a script in the work tells it to say.

`script` is what can be asked for, `journal` what survives a kill, `ledger` the runs, `server` the process, `adapter`
the port.
"""
