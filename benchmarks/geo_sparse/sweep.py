"""Geo-sparse networks over grids, depths, numbers of neighbours and activations; --resume FOLDER goes on.

`python benchmarks/geo_sparse/sweep.py [options]`: the same as `cudagraph bench geo-sparse sweep`.
"""

import sys

from cudagraph.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench", "geo-sparse", "sweep"]
    main()
