"""What is asked of clipvet and takes too long for the default suite: campaigns, exams, benches, one after the other.

Later demands add a row to ``steps``.
"""
