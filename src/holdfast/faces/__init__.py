"""How people and programs meet Holdfast: HTTP, pages, command."""
