"""The embedded stack: all servers on one machine, without Docker."""
