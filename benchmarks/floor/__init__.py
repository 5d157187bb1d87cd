"""What stops the rows that miss: the gateway's pieces, stacked up one by one and measured like the gateway.

Each layer is a process of its own under the same load, simulator and accounting as in ``compare``. It does only what
its name says, so that what a layer costs is the least that anything built on it can cost.
"""
