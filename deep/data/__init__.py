"""Image sets: read, cut to a profile, augmented on the device.

`deep.data.spec` is torch-free and holds what a recipe states.
"""
