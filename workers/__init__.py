"""Who does the work: the Celery app, the relay that rings the bell, and the tasks."""
