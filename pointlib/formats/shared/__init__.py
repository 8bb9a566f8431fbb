"""What the formats share: records, and safe reading of tables, JSON, XML and images.

Not about the fields of any one format: a file each, one folder up.
"""
