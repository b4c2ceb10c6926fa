# SPDX-License-Identifier: Apache-2.0
"""The public pages: what people are told about the service, and where they complain.

Interim Measures articles 10 and 15, Model AI Law article 34. Every page is plain HTML that works without scripts, in
Chinese and English, with large-print and easy-language forms; every page's content is also there as JSON.

The forms are open to everyone and keep no session: no cookie, nothing that a browser sends by itself. So there is
nothing that another site could make a visitor's browser do which that site could not do itself, and no CSRF token is
needed. What needs a right (a case, an acknowledgement) needs its secret in the request.
"""

from gateway.public.desk import desk_policy, tell
from gateway.public.house import House, People
from gateway.public.routes import public_routes

__all__ = ["House", "People", "desk_policy", "public_routes", "tell"]
