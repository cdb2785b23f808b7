"""The dashboard and the agents' pages: login, JSON API, event streams, static files."""
