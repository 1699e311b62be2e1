"""Words and arithmetic: shapes, outlines, documents, edits, prompts.

Knows numpy, cv2, contourpy, shapely and psygnal; must not know Qt, files, threads or models.
"""
