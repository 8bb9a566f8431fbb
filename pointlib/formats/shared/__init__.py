"""What the formats share: records, tables, JSON, XML and pictures of strangers, read within bounds.

Not about what any one format's fields mean: a file each, one folder up.
"""
