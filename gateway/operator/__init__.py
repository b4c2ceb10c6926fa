# SPDX-License-Identifier: Apache-2.0
"""The operator listener: records, complaints and incidents as JSON, the transparency log, and metrics.

`app.create_operator_app(house)` makes it; `tokens` says who may do what. It is a listener of its own, on the loopback
address unless an operator decides otherwise, and never shares a port with the public one.
"""

from gateway.operator.house import House

__all__ = ["House"]
