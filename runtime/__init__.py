"""What every process needs before it can do anything: settings, database engines, logging and the clock."""
