"""The report for police and supervisors: pages, requests, forms, and a bundle that a second program checks."""
