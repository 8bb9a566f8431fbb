"""What both widgets share: the channel to the browser, its pictures, common script and style.

Not about what either of them does: annotate/ and tune/.
"""
