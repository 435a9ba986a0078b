"""The scenarios, one file each. What a file must have stands in `holdfast.drill`."""
