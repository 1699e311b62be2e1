"""What the canvas shows, one layer per file. Tiles are made off the GUI thread by code without Qt."""
