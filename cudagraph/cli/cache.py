"""`cudagraph cache`."""

from __future__ import annotations

from cudagraph.engine.cache import BinaryCache
from cudagraph.environment import Environment

from .output import print_json, show


def show_cache(what: str | None = None, *, as_json: bool) -> None:
    """Print where the compiled kernels are and how many bytes they take, or only one of the two ("path", "bytes")."""
    cache = _cache()
    facts = {"path": str(cache.folder) if cache.folder else None, "bytes": cache.size()}
    if as_json:
        print_json(facts if what is None else {what: facts[what]})
    elif what is not None:
        show(str(facts[what]) if facts[what] is not None else "none")
    else:
        where = facts["path"] or "none (CUDAGRAPH_CACHE=0)"
        show(f"path   {where}", f"bytes  {facts['bytes']:,}")


def clear(*, as_json: bool) -> None:
    """Remove all compiled kernels; they are compiled again when they are needed."""
    freed = _cache().clear()
    if as_json:
        print_json({"freed_bytes": freed})
    else:
        show(f"{freed:,} bytes freed")


def _cache() -> BinaryCache:
    return BinaryCache(Environment.from_environ().cache)
