"""The Oozie engine: workflows, coordinators and bundles of a real Oozie 5 server over REST v2.

`adapter` is the port. `submission` starts what is new, `rerun` starts again what exists, `observation` reads states
in bulk, `control` stops and changes. `rest` is the HTTP client, `answers` the shapes it reads, `states` and
`skip_list` the rules, `notifications` the addresses that Oozie calls, `configuration` Oozie's property XML,
`commands` the equivalent `oozie` command lines.
"""
