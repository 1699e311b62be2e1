"""Parts of the window around the canvas; each shows one thing and knows no other panel."""
