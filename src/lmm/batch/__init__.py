"""
Many responses of one design at once.

Between bootstrap replicates, or between genes measured on the same samples, only y changes: y'y, X'y and Z'y. Here the
deviance of many responses is evaluated at as many values of theta in one pass of array operations (`system`,
`derivatives`), minimised (`search`), and turned into estimates (`refits`).
"""
