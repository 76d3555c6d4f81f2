"""The live feed as clients reach it: who may follow what is decided here, the events come from a notifier."""
