"""Measurements against the budgets of the design: ratios and counts from one run, on real processes and real engines.

It stands above everything else, because it measures everything else; nothing of the system imports it.
"""
