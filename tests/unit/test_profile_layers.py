"""The profile of an order knows our files by their paths: a file that moved would count as somebody else's work."""

from pathlib import Path

from benchmarks.profile_accept import LAYERS

ROOT = Path(__file__).parents[2]


def test_each_place_of_ours_exists() -> None:
    ours = [
        place for _, places in LAYERS for place in places if place.startswith(("/api", "/models", "/runtime", "/ops"))
    ]
    assert len(ours) > 10
    assert [place for place in ours if not (ROOT / place[1:]).exists()] == []
