# SPDX-License-Identifier: Apache-2.0
"""Every public address that is not a model API, in one list."""

from __future__ import annotations

from starlette.routing import Route

from gateway.disclosure import ABOUT_PATH
from gateway.public.about import ACKNOWLEDGE_PATH, About
from gateway.public.complaints import STATUS_PATH, Complaints
from gateway.public.document import COMPLAINTS_PATH, PATH, Document
from gateway.public.guardian import guardian_routes
from gateway.public.health import Health
from gateway.public.house import House
from gateway.public.media import MEDIUM_PATH, Media
from gateway.public.page import STYLE_PATH, Pages
from gateway.public.resource import Resource
from gateway.public.session import AGREEMENT_PATH, SESSION_PATH, AgreementDesk, Session
from gateway.public.verify import VERIFY_PATH, Verify


def public_routes(house: House) -> list[Route]:
    """The routes. The order matters in one place: `status` would also be read as a receipt."""
    pages = Pages(house)
    about, complaints, health = About(house, pages), Complaints(house, pages), Health(house)
    verify = Verify(house, pages)
    case = f"{COMPLAINTS_PATH}/{{receipt}}"
    people: list[Route] = []
    if house.people is not None:
        agreement = AgreementDesk(house, house.people)
        people = [
            Route(SESSION_PATH, Resource({"GET": Session(house, house.people).get})),
            Route(AGREEMENT_PATH, Resource({"GET": agreement.get, "POST": agreement.post})),
            *guardian_routes(house, house.people),
        ]
    return [
        *people,
        Route("/livez", Resource({"GET": health.livez})),
        Route("/readyz", Resource({"GET": health.readyz})),
        Route(PATH, Resource({"GET": Document(house).get}, is_open=True)),
        Route(ABOUT_PATH, Resource({"GET": about.get}, pages.problem)),
        Route(ACKNOWLEDGE_PATH, Resource({"POST": about.acknowledge}, pages.problem)),
        Route(COMPLAINTS_PATH, Resource({"GET": complaints.get, "POST": complaints.post}, pages.problem)),
        Route(STATUS_PATH, Resource({"POST": complaints.status}, pages.problem)),
        Route(case, Resource({"GET": complaints.case}, pages.problem)),
        Route(f"{case}/appeal", Resource({"POST": complaints.appeal}, pages.problem)),
        Route(f"{case}/withdraw", Resource({"POST": complaints.withdraw}, pages.problem)),
        Route(VERIFY_PATH, Resource({"GET": verify.get, "POST": verify.post}, pages.problem)),
        Route(MEDIUM_PATH, Resource({"GET": Media(house).get}, pages.problem, is_open=True)),
        Route(STYLE_PATH, Resource({"GET": pages.get_style})),
    ]
