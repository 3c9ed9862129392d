"""In which form to answer: what a client accepts, of what there is (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
WILDCARDS = frozenset({"*/*", "application/*"})


def wanted(accept: str, known: Sequence[str] = (NDJSON, CSV)) -> str:
    """The media type to answer with: the one of highest quality among those that are named.

    `known`: what there is beside JSON. JSON is the answer to a wildcard, to a draw, and to whatever we do not have.
    """
    qualities: dict[str, float] = {}
    for each in accept.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        qualities["*" if name in WILDCARDS else name] = _quality(parameters)
    best = max(known, key=lambda kind: qualities.get(kind, 0.0))
    quality = qualities.get(best, 0.0)
    json_wins = qualities.get(JSON, 0.0) >= quality or (JSON not in qualities and qualities.get("*", 0.0) > quality)
    return JSON if json_wins else best


def _quality(parameters: Sequence[str]) -> float:
    spelled = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return float(spelled)
    except ValueError:
        return 0.0
