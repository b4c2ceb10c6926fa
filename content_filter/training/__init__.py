# SPDX-License-Identifier: Apache-2.0
"""Makes the weights of the classifier: `python -m content_filter.training --help`. Not needed to run it."""
