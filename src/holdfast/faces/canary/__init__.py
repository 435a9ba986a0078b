"""A merchant of one's own who pays himself from outside, and compares every address that he is shown."""
