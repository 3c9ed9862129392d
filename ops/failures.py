"""What can go wrong on the local machine. Each message is one paragraph for a person: what is wrong and what to do."""


class LocalError(Exception):
    """The command cannot go on; its text is the whole answer."""


class EngineError(LocalError):
    """An embedded engine cannot be prepared, started or reached."""


class StartError(LocalError):
    """A process did not become ready."""
