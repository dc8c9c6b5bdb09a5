"""Image sets: read, cut to a profile, augmented on the device.

`deep.data.spec` and `deep.data.sources` are torch-free; import from the submodules.
"""
