LEVEL: int
"""x86-64 micro-architecture level this process runs, operating system included: 1, 3 or 4; other processors: 1."""
