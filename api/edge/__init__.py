"""Around every request, whatever it asks for: the connection, limits of size and time, the headers of answers."""
