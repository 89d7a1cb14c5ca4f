"""How training's time and memory grow with the rows."""
