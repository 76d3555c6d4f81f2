"""What every Signalbox service stands on: messages in, one transaction, messages out.

Read `service.py` for the life of a process, `settle.py` for what happens to a message, `outbox.py` and `relay.py` for
how one leaves. `docs/architecture/messaging.md` says what is promised and which test shows it.
"""
