"""What is true: tables, the lifecycle, and the verbs and queries that work on them through a `Connection`."""
