"""What is said of addresses, and how far to believe it: feeds, admission, the book of labels, behaviour, clusters."""
