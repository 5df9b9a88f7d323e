"""``python -m chaosfit`` is the same program as ``chaosfit``."""

from chaosfit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
