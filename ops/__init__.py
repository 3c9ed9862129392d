"""The outermost room: the command line, the local machine (engines, supervisor, bootstrap), seeding and checks.

May import everything below it; nothing imports it.
"""
