"""Who asks: the HTTP interface. It accepts orders and wishes, and leaves everything else to the pipeline."""
