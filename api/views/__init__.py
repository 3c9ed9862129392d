"""What goes out: the JSON form of everything the API answers with, by the nouns of the routes."""
