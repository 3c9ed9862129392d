"""Accounts and credentials: users, passwords, second factors, sessions, API keys, signing keys, permissions."""
