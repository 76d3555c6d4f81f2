"""The live feed: events of plans over WebSockets, in order, resumable at any notifier."""
