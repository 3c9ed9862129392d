"""Who asks, and what they may: tokens and API keys, guards of routes, logins and what holds guesses up."""
