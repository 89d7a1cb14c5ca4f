"""Watch the champion on each newly labelled day: is it still as good as at its promotion?"""
