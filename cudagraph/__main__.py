"""`python -m cudagraph`."""

from __future__ import annotations

from cudagraph.cli import main

if __name__ == "__main__":
    main()
