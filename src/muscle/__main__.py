"""``python -m muscle``: the command line."""

from __future__ import annotations

from muscle.cli.main import main

if __name__ == "__main__":
    main()
