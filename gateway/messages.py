# SPDX-License-Identifier: Apache-2.0
"""What people read when a duty ends their request or answer: our own fixed words, zh and en.

They say what happened and what to do next, and never repeat what was written or generated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MESSAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "prompt_refused": {
        "zh": "抱歉，您的请求涉及不允许的内容，未交由模型处理。请修改后重试；如有异议，可前往 /duty/complaints 投诉。",
        "en": "Sorry, this request touches on content that is not allowed and was not given to the model. "
        "Change it and try again; if you disagree, complain at /duty/complaints.",
    },
    "answer_stopped": {
        "zh": "【回答已停止：后续内容不符合内容安全规定。如有异议，可前往 /duty/complaints 投诉。】",
        "en": "[Answer stopped: what followed is not allowed. If you disagree, complain at /duty/complaints.]",
    },
    "duty_failed": {
        "zh": "服务暂时无法履行其法定义务，因此没有作答。请稍后重试。",
        "en": "The service cannot do its legal duties at the moment, so it did not answer. Try again later.",
    },
    "not_recorded": {
        "zh": "服务暂时无法留存记录，因此没有作答。请稍后重试。",
        "en": "The service cannot keep its records at the moment, so it did not answer. Try again later.",
    },
}
