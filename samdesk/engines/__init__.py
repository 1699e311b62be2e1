"""Models behind one contract, named in a table. Must not know images, annotations or widgets."""
