"""MCP sockets, one an agent, and the tools on them. Asyncio stays in this room."""
