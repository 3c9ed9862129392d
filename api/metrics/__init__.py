"""What the API processes count, and what they show to Prometheus."""
