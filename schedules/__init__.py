"""What runs when: the timetable, and the scheduler behind Celery beat."""
