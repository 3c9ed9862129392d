"""The system on one machine, from nothing: embedded engines, the data directory, and `orders up`."""
