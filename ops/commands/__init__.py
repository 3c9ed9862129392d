"""What can be typed below `orders`. What a command does is the module of the same name in `ops/`."""
