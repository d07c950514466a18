"""A geo-sparse network next to psann's, and next to a dense one with as many parameters.

`python benchmarks/geo_sparse/compare.py [options]`: the same as `cudagraph bench geo-sparse compare`.
"""

import sys

from cudagraph.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench", "geo-sparse", "compare"]
    main()
