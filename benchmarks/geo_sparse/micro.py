"""One geo-sparse layer and one residual block next to psann's.

`python benchmarks/geo_sparse/micro.py [options]`: the same as `cudagraph bench geo-sparse micro`.
"""

import sys

from cudagraph.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench", "geo-sparse", "micro"]
    main()
