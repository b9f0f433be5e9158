"""Work in this process, in several ones or on a cluster, in pieces whose sum is always the same.

`executors` runs pieces of work and shows their progress, `local` has the processes of this machine,
`clusters` those of Dask and MPI, and `interrupts` ends them. `pieces` divides runs into pieces, and
adds up the results, and `kept` keeps those of an interrupted job.
"""

__all__ = []
