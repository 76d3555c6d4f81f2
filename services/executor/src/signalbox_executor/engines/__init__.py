"""Engines behind one port: `port.py` says what every one must do, each other module or folder is one engine."""
