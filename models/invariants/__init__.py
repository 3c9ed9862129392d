"""What must hold on live data at any moment: one named statement each, which finds what breaks it.

Together they are the guarantees of the design (G1–G6), as far as rows can show them. All statements of one examination
see one snapshot, take no lock that a writer could wait for, and so agree with each other under any load.
"""

from models.invariants import aggregates, orders, work
from models.invariants.invariant import Finding, Invariant, examine, in_one_snapshot

INVARIANTS: tuple[Invariant, ...] = (*orders.INVARIANTS, *work.INVARIANTS, *aggregates.INVARIANTS)

__all__ = ["INVARIANTS", "Finding", "Invariant", "examine", "in_one_snapshot"]
