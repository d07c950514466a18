"""A particle system: emit, push, move, draw. All on the device; nothing is read back between frames."""
