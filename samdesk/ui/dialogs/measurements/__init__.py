"""The measurement table: rows and columns, a histogram, sums for each class.

Must not know how anything is measured.
"""
