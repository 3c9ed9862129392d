"""`orders seed --orders N`: the past of a shop that never was, made up so that it could have been.

A history is a function of its arguments: whoever asks again for the same one gets the same orders, down to their ids.
It is written in slices, each of them one transaction that leaves the system whole.
"""
