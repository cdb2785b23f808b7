"""How an agent's configuration becomes what it runs with: repos, builds, one queue."""
