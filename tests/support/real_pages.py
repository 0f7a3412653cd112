"""Where the real captured pages lie: outside the repository, because they carry no licence. Tests read them there."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL = Path(__file__).parents[2].parent / "shared" / "liverc"

needs_real_pages = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real captured pages are not at {REAL}")
