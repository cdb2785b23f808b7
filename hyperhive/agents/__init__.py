"""An agent's life: its turns, claude's command line and stream, its prompts."""
