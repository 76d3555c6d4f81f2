"""`python -m chaos`: the whole stack under load while its parts are killed, frozen, restarted and cut off; then judged.

`faults` plans the harm and `orders` the load, both pure: a seed says all. `world` starts and stops, `load` asks, `hurt`
harms, `looks` counts at the engines meanwhile, `evidence` reads what is left, `judge` says what does not hold, `report`
prints it.
"""
