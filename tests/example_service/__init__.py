"""A service as small as one can be, built the way every service is. The tests of the chassis run it.

In: `counter.add` (control), `counter.state` (facts), definitions. Changes: counter, entry, mirror, definition.
Out: `counter.state`, one for every `counter.add`.
"""
