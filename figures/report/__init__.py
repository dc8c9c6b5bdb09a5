"""The report: static pages over the recorded evidence, figures and results; no network, no build.

One module a page or a source of what pages show; `site.write` renders `templates` and copies
`assets`. Everything is read from records: nothing here solves, checks or trains.
"""
