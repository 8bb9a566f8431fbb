"""What both widgets share: the channel to the browser, its pictures, common script and style.

Not about what either of them says or does: annotate/ and tune/.
"""
