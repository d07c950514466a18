"""The devices an engine can run on."""
