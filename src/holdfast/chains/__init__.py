"""One port to the nodes, one module a family."""
