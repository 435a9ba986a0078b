"""Bulk work: taint, clusters and reach over a hundred million stored transfers on one machine, and on many."""
