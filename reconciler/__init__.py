"""The reconciler: each NodeClaim of KAITO becomes one AKS node pool, and no pool outlives its claim.

Read in this order: `names` (what others read of us), `nodeclaim`, `nodepool` and `node` (what we see), `decide` (what
to do about it, without any effect), `controller` (does it), and the two ports `kube` and `azure`.
"""
