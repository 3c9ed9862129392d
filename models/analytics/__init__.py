"""Exact aggregates: what they are, how events are folded into them, how they are audited, and what is asked of them."""
