"""The access log: one line for each answer, whoever gave it, and what else is to be told of requests as such.

Its lines have a `source` that is no module's name. Whoever reads logs looks for it, wherever the code is moved to.
"""

from runtime import logs

log = logs.get("api.access")
