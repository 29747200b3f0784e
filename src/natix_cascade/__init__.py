"""natix-cascade: is there roadwork in this street picture?"""
