"""One process of the tutorial app, on a port that the caller has reserved."""

import sys

import uvicorn

from ops.processes import ports

if __name__ == "__main__":
    uvicorn.Server(uvicorn.Config("benchmarks.tutorial.app:app")).run(sockets=[ports.share(int(sys.argv[1]))])
