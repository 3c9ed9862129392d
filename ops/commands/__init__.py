"""What can be typed below `orders`, where it takes more than a few lines; the rest is `ops/cli.py`."""
