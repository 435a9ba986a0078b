"""Figures, each with the limit that physics sets beside it. One file a question; `holdfast bench` shows them."""
