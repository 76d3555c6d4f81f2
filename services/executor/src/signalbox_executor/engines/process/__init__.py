"""The process engine: programs of this host, each under a small detached supervisor that outlives the executor.

`records` is what is on disk, `supervisor` the process that runs one program, `output` its bounded log, `permits` what
the operator allows, `inspection` what a run's folder says now, `adapter` the port.
"""
