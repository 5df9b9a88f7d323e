"""Reports: records and forecasts become something to look at.

`comparison` holds `chaosfit.compare` and what it returns; read it first. `table` turns records into one row
per method, `plots` draws on given matplotlib figures, `page` puts all of it into one HTML file that needs
no network.
"""
