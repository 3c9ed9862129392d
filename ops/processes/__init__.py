"""Processes that keep other processes: children, signals, ports, and one log for all."""
