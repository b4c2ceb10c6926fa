# SPDX-License-Identifier: Apache-2.0
"""Writes the generated parts of the documents: the settings, the pipeline, the wires, the metrics, the policies.

A generated part stands between `<!-- name -->` and `<!-- /name -->`; the rest of a document is written by people.
`python -m tests.docs.reference` brings every part up to date; a test fails while one is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway import kept_data, pipeline, policies
from gateway.metrics import FAMILIES, Kind
from gateway.settings import Settings
from gateway.wires import ROUTES
from gateway.wires.fields import table

ROOT = Path(__file__).resolve().parents[2]
INTERNAL = ("base_dir", "home")
"""Members of the settings that no file and no variable sets."""

MEANINGS: Mapping[str, tuple[str, str]] = {
    "service.name": ("The service's name, as people read it", "服务名称，面向公众显示"),
    "service.provider": ("The provider's name", "提供者名称"),
    "service.provider_code": (
        "The 27 characters of the provider code that labels carry; your own, checked and never made up. "
        "Empty: labels carry the provider's name",
        "标识中的服务提供者编码（27 位）；须为自有编码，只校验、不编造。留空则标识写提供者名称",
    ),
    "service.url": ("The service's site, linked from the about page", "服务网址，显示在说明页"),
    "service.purpose": ("What the service is for (Chinese)", "用途（中文）"),
    "service.purpose_en": ("What the service is for (English)", "用途（英文）"),
    "service.audience": ("Whom it is for (Chinese)", "适用人群（中文）"),
    "service.audience_en": ("Whom it is for (English)", "适用人群（英文）"),
    "service.occasions": ("On which occasions (Chinese)", "适用场合（中文）"),
    "service.occasions_en": ("On which occasions (English)", "适用场合（英文）"),
    "service.mechanism": ("How it works, in plain words (Chinese)", "工作原理与机制（中文）"),
    "service.mechanism_en": ("How it works, in plain words (English)", "工作原理与机制（英文）"),
    "service.model": ("The model's name, as it is published", "公示的模型名称"),
    "service.third_party_model": ("A third party's model in use, if any", "所用第三方模型（如有）"),
    "service.filing_number": ("Filing number", "备案编号"),
    "service.licence_number": ("Licence number", "许可编号"),
    "service.contact": ("How people reach the provider", "联系方式"),
    "service.agreement_url": ("The service agreement", "服务协议网址"),
    "service.agreement_version": (
        "Version of the service agreement that people accept before first use, and again when it changes. Empty: not "
        "asked for",
        "使用者首次使用前须接受的服务协议版本，版本变更后须重新接受。留空则不要求",
    ),
    "service.rights": ("Rights that you add to those of the law (Chinese)", "在法定权利之外补充的权利（中文）"),
    "service.rights_en": ("Rights that you add to those of the law (English)", "在法定权利之外补充的权利（英文）"),
    "policy.use": ("Policies in force; of several, the strictest number applies", "适用的策略；多个策略取最严的数值"),
    "upstream.url": (
        'Origin of the model API, with or without `/v1`; `"sample"` is the built-in model',
        '模型接口的地址，可带或不带 `/v1`；`"sample"` 为自带示例模型',
    ),
    "upstream.api_key_env": (
        "Environment variable with the key for the model. Empty: the client's own key is passed on",
        "存放模型密钥的环境变量名。留空则透传客户端自己的密钥",
    ),
    "upstream.connect_timeout_s": ("Longest time to connect", "连接超时"),
    "upstream.first_byte_timeout_s": ("Longest wait for the answer's first byte", "等待首字节的最长时间"),
    "upstream.idle_timeout_s": ("Longest silence within an answer", "回答过程中允许的最长静默"),
    "upstream.max_connections": ("Connections to the model, for each worker", "每个工作进程到模型的连接数上限"),
    "upstream.ca_file": ("Certificates (PEM) to trust instead of the system's", "替代系统证书的信任证书（PEM）"),
    "disclosure.mode": (
        "`announce`: the notice stands at the head of the first answer. `acknowledge`: 428 with a link until the "
        "person acknowledged it. `interface`: your own interface tells people, nothing in-band",
        "`announce`：首个回答开头给出提示；`acknowledge`：确认之前返回 428 与确认链接；"
        "`interface`：由您自己的界面告知，回答中不加提示",
    ),
    "disclosure.notices": (
        "Where other notices stand (a break, a measure, an incident, the end of the service): `beside` the answer, in "
        "`notices`, or besides at the head of its `text`, for apps that cannot show them",
        "其他提示（休息提醒、处置、事件、服务终止）的位置：`beside` 仅在回答旁的 `notices` 中；"
        "`text` 另写入回答正文开头，适用于无法显示的应用",
    ),
    "disclosure.renew_after_days": (
        "Days after which a person is told again; 0: as long as the policy says",
        "多少天后再次告知；0 表示按策略",
    ),
    "disclosure.session_minutes": (
        "Tell each session anew: a session ends with a pause of so many minutes. 0: once, as `renew_after_days` says",
        "每次会话重新告知：停止使用达到该分钟数即为会话结束。0 表示按 `renew_after_days` 告知一次",
    ),
    "identity.jwt.secret_env": ("Environment variable with the HS256 secret", "存放 HS256 密钥的环境变量名"),
    "identity.jwt.jwks_url": (
        "JWKS document with public keys, instead of a secret",
        "公钥 JWKS 文档地址（与密钥二选一）",
    ),
    "identity.jwt.jwks_cache_s": ("How long the JWKS document is kept", "JWKS 文档缓存时间"),
    "identity.jwt.issuer": ("`iss` that tokens must have; empty: any", "要求的 `iss`；留空不限"),
    "identity.jwt.audience": ("`aud` that tokens must have; empty: any", "要求的 `aud`；留空不限"),
    "identity.jwt.leeway_s": ("Allowance for clocks that differ", "允许的时钟误差"),
    "identity.proxy.secret_env": (
        "Environment variable with the secret, at least 32 bytes, by which a proxy signs `Duty-Claims`",
        "代理签署 `Duty-Claims` 所用密钥的环境变量名，密钥至少 32 字节",
    ),
    "identity.proxy.peers": (
        "Addresses or networks of that proxy; from elsewhere its headers are refused",
        "该代理的地址或网段；来自其他地址的此类请求头一律拒绝",
    ),
    "identity.proxy.skew_s": (
        "Allowance for clocks that differ; within it each proof counts once",
        "允许的时钟误差；在此范围内每个签名只能使用一次",
    ),
    **{
        f"identity.claims.{name}": (f"Your name of the claim `{name}`", f"声明 `{name}` 在您处的名称")
        for name in ("sub", "age_band", "birth_year", "minor_mode", "verified", "tz", "tenant")
    },
    "identity.required": ("Refuse requests without a token", "拒绝没有令牌的请求"),
    "identity.api_keys": (
        "The gateway's own API keys (`dutybound apikey new`): `accept` where one is sent, `require` one with every "
        "request, `off`",
        "网关自有的接口密钥（`dutybound apikey new`）：`accept` 有则校验，`require` 每次请求必须携带，`off` 不使用",
    ),
    "identity.require_verified": (
        "Serve only people whose signed token says `verified`: `policy` as the policy says, `always`, `never`",
        "仅服务于签名令牌声明已核验（`verified`）的使用者：`policy` 按策略，`always` 总是，`never` 从不",
    ),
    "identity.default_tz": (
        "Time zone of people whose token names none; days of complaints end in it",
        "令牌未注明时区者的时区；投诉期限也按此时区计算",
    ),
    "content_filter.terms": ("Term files, beside the configuration file", "词表文件，相对于配置文件所在目录"),
    "content_filter.context_terms": (
        "Files of terms with conditions (TOML), beside the configuration file",
        "带条件的词表文件（TOML），相对于配置文件所在目录",
    ),
    "content_filter.own_terms": (
        "Look for the terms with context that come with the filter, too: unlawful advertising and prompt attacks",
        "同时使用随附的带条件词表：违法广告与提示词攻击",
    ),
    "content_filter.release": (
        "When a stream's text leaves: `hold` as soon as it was looked at, a bounded way behind, `strict` after the "
        "verdict on its sentence, `concurrent` at once; an answer ends only after its last verdict",
        "流式文本何时放行：`hold` 初步检查后即放行，滞后有上限；`strict` 整句判断后；`concurrent` 立即放行。"
        "任何方式下，最后一个判断之后回答才结束",
    ),
    "content_filter.hold_chars": ("Most characters that `hold` keeps back", "`hold` 最多滞后的字符数"),
    "content_filter.hold_s": ("Longest time that `hold` keeps text back", "`hold` 最长滞后时间"),
    "content_filter.classifier.use": ("Judge prompts and answers with the classifier", "用分类器判断提示与回答"),
    "content_filter.classifier.weights": (
        "Folder of weights trained on your own data, relative to the configuration file. Empty: the shipped ones",
        "用自有数据训练的权重所在文件夹，相对于配置文件所在目录。留空则用自带权重",
    ),
    "content_filter.classifier.second": (
        "The larger second encoder: `auto` where its package is installed, `on` refuses to start without it",
        "更大的第二编码器：`auto` 安装即用；`on` 未安装时拒绝启动",
    ),
    "content_filter.classifier.prompt_block": (
        "What a prompt in the upper band meets: refused, noted, or nothing",
        "提示落入高分段时：拒绝、记录或放行",
    ),
    "content_filter.classifier.prompt_middle": (
        "The same for the middle band, where no guard model is asked",
        "提示落入中间分段且未询问护栏模型时",
    ),
    "content_filter.classifier.answer_block": (
        "What an answer in the upper band meets; `refuse` stops it",
        "回答落入高分段时；`refuse` 表示中止",
    ),
    "content_filter.classifier.answer_middle": (
        "The same for the middle band, where no guard model is asked",
        "回答落入中间分段且未询问护栏模型时",
    ),
    "content_filter.classifier.classes": (
        'Exceptions for single classes, such as `"A5b answer middle pass"`',
        '个别类别的例外，例如 `"A5b answer middle pass"`',
    ),
    "content_filter.classifier.trusted_roles": (
        "Roles of messages that only you write, such as `system`: not judged, but still looked through for terms",
        "仅由您自己撰写的消息角色（如 `system`）：不作判断，词表仍然适用",
    ),
    "content_filter.classifier.threads": (
        "Threads that judge long texts, for each worker process",
        "每个工作进程中判断长文本的线程数",
    ),
    "content_filter.classifier.long_chars": (
        "Texts with more characters are judged in a thread",
        "超过此字符数的文本在线程中判断",
    ),
    "content_filter.classifier.most_chars": (
        "Longest prompt that is judged, without what was judged before; a longer one is refused",
        "可判断的最长提示（此前判断过的部分不计）；更长的提示被拒绝",
    ),
    "content_filter.guard_model.kind": (
        "Which second opinion; empty: none. `http` is a service of your own",
        "复核方式；留空不启用。`http` 为自有服务",
    ),
    "content_filter.guard_model.url": (
        "Where it is: for models the API's base, such as `http://127.0.0.1:8000/v1`; for `http` the whole address",
        "地址：模型为接口基址，如 `http://127.0.0.1:8000/v1`；`http` 为完整地址",
    ),
    "content_filter.guard_model.model": ("The model's name on that server", "该服务器上的模型名称"),
    "content_filter.guard_model.api_key_env": (
        "Environment variable with the key for it; empty: none",
        "存放其密钥的环境变量名；留空则无",
    ),
    "content_filter.guard_model.timeout_s": ("Longest wait for a verdict", "等待判断结果的最长时间"),
    "content_filter.guard_model.ask": (
        "`middle`: for what the classifier leaves open. `all`: for every text that it does not block",
        "`middle`：仅分类器未能判定者；`all`：分类器未拦截的所有文本",
    ),
    "content_filter.guard_model.when_unavailable": (
        "A text that needs its opinion and cannot have it is refused or noted; `policy`: as the policy says",
        "需要复核而无法取得时拒绝或记录；`policy` 表示按策略",
    ),
    "content_filter.guard_model.strict": (
        "`qwen3guard`: what it calls controversial counts as unsafe",
        "`qwen3guard`：有争议视为不安全",
    ),
    "content_filter.guard_model.template": (
        "`chat_template`: what is sent; must hold `{text}`, may hold `{question}` and `{role}`",
        "`chat_template`：发送内容；须含 `{text}`，可含 `{question}` 与 `{role}`",
    ),
    "content_filter.guard_model.pattern": (
        "`chat_template`: regular expression on the reply with a group `verdict`, and perhaps `label`",
        "`chat_template`：用于回复的正则表达式，含 `verdict` 组，可含 `label` 组",
    ),
    "content_filter.guard_model.outcomes": (
        '`chat_template`: what each verdict means, such as `"unsafe=block"`',
        '`chat_template`：各判定词的含义，例如 `"unsafe=block"`',
    ),
    "content_filter.guard_model.labels": (
        '`chat_template`: the class of each label, such as `"violence=A1f"`',
        '`chat_template`：各标签对应的类别，例如 `"violence=A1f"`',
    ),
    "content_filter.guard_model.default_class": (
        "`chat_template`: the class of any other label",
        "`chat_template`：其他标签的类别",
    ),
    "content_filter.guard_model.breaker_failures": (
        "After so many failures in a row it is left alone",
        "连续失败达到此次数后暂停询问",
    ),
    "content_filter.guard_model.breaker_rest_s": ("For how long", "暂停时长"),
    "content_filter.guard_model.cache_s": (
        "How long a verdict is remembered, by keyed hash; 0: not at all",
        "判断结果按密钥散列缓存的时间；0 表示不缓存",
    ),
    "content_filter.guard_model.cache_entries": ("Most verdicts that are remembered", "缓存的判断结果数上限"),
    "content_filter.personal.kinds": (
        "Kinds that are looked for: `id_card`, `mobile`, `bank_card`, `passport`, `email`, `address`",
        "查找的种类：`id_card`、`mobile`、`bank_card`、`passport`、`email`、`address`",
    ),
    "content_filter.personal.prompt": (
        "What personal data in a prompt meets; `mask` changes what the model gets",
        "提示中的个人信息：放行、记录、遮盖（模型收到遮盖后的文本）或拒绝",
    ),
    "content_filter.personal.answer": (
        "What personal data in an answer meets; `refuse` stops the answer",
        "回答中的个人信息：放行、记录、遮盖或中止",
    ),
    "content_filter.pictures.hashes": (
        "Lists of known pictures by perceptual hash, beside the configuration file",
        "已知图片的感知哈希清单，相对于配置文件所在目录",
    ),
    "content_filter.pictures.hash_radius": (
        "How many of the 64 bits may differ",
        "64 位中允许相差的位数",
    ),
    "content_filter.pictures.model": (
        "An ONNX model of your own, beside the configuration file; needs onnxruntime",
        "自有 ONNX 模型，相对于配置文件所在目录；需安装 onnxruntime",
    ),
    "content_filter.pictures.model_classes": (
        "The class of each of its outputs, in order; `-`: harmless",
        "其各输出对应的类别，按顺序；`-` 表示无害",
    ),
    "content_filter.pictures.model_block_bp": ("Score from which it blocks, basis points", "拦截的分数，万分比"),
    "content_filter.pictures.model_flag_bp": ("Score from which it notes, basis points", "记录的分数，万分比"),
    "content_filter.pictures.words": (
        "Package that reads words in pictures, which are then judged as text; empty: none",
        "识别图中文字的软件包，识别出的文字按文本判断；留空不启用",
    ),
    "content_filter.pictures.plugins": (
        "Checks of your own, as `module:name`",
        "自有检查，写作 `module:name`",
    ),
    "content_filter.pictures.links": (
        "Pictures in prompts that are only an address, and cannot be looked at: `pass` or `refuse`",
        "提示中仅以链接给出、无法查看的图片：放行或拒绝",
    ),
    "content_filter.pictures.prompt": (
        "What a finding in a prompt's picture meets: refused, or noted",
        "提示中的图片命中时：拒绝或记录",
    ),
    "content_filter.pictures.answer": (
        "The same in an answer; `refuse` stops it",
        "回答中的图片命中时；`refuse` 表示中止",
    ),
    "content_filter.pictures.threads": (
        "Threads that look at pictures, for each worker process",
        "每个工作进程中查看图片的线程数",
    ),
    "content_filter.pictures.timeout_s": ("Longest time for one picture", "单张图片的最长检查时间"),
    "content_filter.pictures.most_pixels": (
        "Most pixels of one picture that are looked at; a larger one is not let through",
        "单张图片可查看的像素上限；超出者不予通过",
    ),
    "content_filter.pictures.most_pictures": (
        "Most pictures in one prompt; one with more is refused",
        "单个提示的图片数上限；超出者被拒绝",
    ),
    "minors.education": (
        "The service is for education: exempt from the daily minutes, not from the curfew",
        "教育类服务：免除每日时长限制，不免除宵禁",
    ),
    "minors.consent": (
        "Where children below the policy's age need a guardian's consent: `companion` (services of sustained emotional "
        "interaction), `always`, `off`",
        "何处须监护人同意：`companion`（持续情感互动服务）、`always`、`off`",
    ),
    "minors.suspect": (
        "Where people of unknown age are taken for minors by what they say of themselves: `companion`, `always`, `off`",
        "何处依用户自述判定疑似未成年人：`companion`、`always`、`off`",
    ),
    "minors.strict_classes": (
        "Classes of which what a check of meaning would only note refuses or stops where a minor asks",
        "对未成年人，这些类别中仅提示的判断结果改为拒绝或停止",
    ),
    "companion.is_companion": (
        "The service offers sustained emotional interaction: its duties hold",
        "本服务提供持续情感互动，相应义务生效",
    ),
    "companion.crisis": (
        "Where explicit self-harm or danger is answered with comfort and help lines: `companion`, `always`",
        "何处对明确的自伤或危险表述给予安抚与求助热线：`companion`、`always`",
    ),
    "minors.idle_gap_s": ("A longer pause ends a stretch of use and is not counted", "超过此时长的停顿不计入使用时间"),
    "label.position": (
        "Where the explicit label stands; `policy`: as the policy says",
        "显式标识的位置；`policy` 表示按策略",
    ),
    "label.image_words": (
        "Words of the visible label on pictures; must hold an AI element and a generation element",
        "图片显式标识的文字；须含人工智能要素与生成合成要素",
    ),
    "label.image_corner": ("Corner of the picture in which they stand", "图片显式标识所在的角"),
    "label.image_font": (
        "Font file for them, relative to the configuration file. Empty: an installed font, else our own outlines",
        "所用字体文件，相对于配置文件所在目录。留空则用系统字体，再无则用自带字形",
    ),
    "label.sound": (
        "`audible`: every sound carries its label audibly, and formats that cannot are refused. `interface`: your own "
        "interface says it all the time, sounds get hidden labels only",
        "`audible`：每段声音都带可听标识，无法写入的格式不予提供；`interface`：由您自己的界面持续提示，声音只写隐式标识",
    ),
    "label.voice_clip": (
        "Spoken label, a WAV file with 8- or 16-bit samples, relative to the configuration file. Empty: AI in Morse",
        "语音标识（8 或 16 位 WAV），相对于配置文件所在目录。留空则用“AI”的摩斯码节奏",
    ),
    "label.file_threads": ("Threads that label files, for each worker process", "每个工作进程中写文件标识的线程数"),
    "label.signer": (
        "What signs Content Credentials in place of the chain in the data folder: `module:function` of an installed "
        "package that gives a `SigningKey`, for keys in PKCS#11 modules and key services",
        "代替数据目录中证书链签署内容凭证的密钥：已安装包的 `模块:函数`，返回 `SigningKey`，用于 PKCS#11 或密钥服务",
    ),
    "label.timestamp_url": (
        "Time-stamping authority (RFC 3161) for manifests in files; it is asked for every file. Empty: no time stamps",
        "文件清单的时间戳服务（RFC 3161），每个文件请求一次。留空：不加时间戳",
    ),
    "label.text_manifest": (
        "Put a signed C2PA manifest behind every text answer, in characters that nobody sees: about 2,200 code points "
        "and 8.6 kB each, which clients send back as tokens. Needs a signing chain",
        "在每个文本回答末尾以不可见字符写入签名的 C2PA 清单：每个约 2,200 个码位、8.6 kB，"
        "客户端回传历史时计入令牌。需要签名证书链",
    ),
    "label.films": (
        "`label` draws the label on films, where PyAV is installed; `refuse` lets none out",
        "`label` 在视频画面上加标识（需安装 PyAV）；`refuse` 一律不放行",
    ),
    "label.film_most_s": ("Longest film that is labelled", "可加标识的视频的最长时长"),
    "label.film_timeout_s": ("How long labelling one film may take", "为单个视频加标识的时限"),
    "label.watermark": (
        "Invisible watermark in pictures: `on` where a picture can hold one, `required` refuses pictures that cannot, "
        "`off`",
        "图片中的隐形水印：`on` 能加则加；`required` 加不上的图片不放行；`off` 不加",
    ),
    "label.watermark_method": (
        "`waves`: our own; or the name under which an installed package offers one",
        "`waves` 为自带方法；也可填已安装软件包提供的方法名称",
    ),
    "label.fingerprints": (
        "Of which answers a hash is kept by which a copy without labels is found again: `all`, `media` (pictures and "
        "sounds), `off`",
        "保留哪些回答的特征值，以便在标识丢失后仍可识别：`all` 全部、`media` 图片与声音、`off` 不保留",
    ),
    "label.fingerprint_days": (
        "How long those hashes are kept; 0: as long as the policy has network logs kept",
        "特征值的保留天数；0 表示与策略规定的网络日志留存期相同",
    ),
    "label.links": (
        "Media that an answer names by an address: `relabel` fetches, labels and serves them, `refuse` lets none out",
        "回答中以链接给出的媒体：`relabel` 取回、加标识并由本服务提供；`refuse` 一律不放行",
    ),
    "label.link_hosts": (
        "Hosts beside the upstream's own origin from which such media may be fetched: `cdn.example.com`, "
        "`*.example.com` (both https), or an origin with its scheme",
        "除上游自身外允许取回此类媒体的主机：`cdn.example.com`、`*.example.com`（均为 https），或带协议的来源",
    ),
    "label.link_timeout_s": ("How long fetching one of them may take", "取回单个此类媒体的时限"),
    "label.link_keep_s": ("How long a labelled file is served at its address", "加标识后的文件在其地址上提供的时长"),
    "label.link_store_bytes": (
        "Size of all such files together, in the folder `media` of the data folder",
        "数据目录 `media` 中全部此类文件的总大小上限",
    ),
    "redis.url": (
        "Shared counters (`redis://`, `rediss://`, `unix://`). Empty: the file `state.db` of the data folder",
        "共享计数（`redis://`、`rediss://`、`unix://`）。留空则用数据目录中的 `state.db`",
    ),
    "redis.timeout_s": ("Longest time for one call to the counters", "单次计数操作的超时"),
    "orders.poll_s": (
        "How long a process may not know of a pause or a measure that another one placed",
        "其他进程下达的暂停或处置最长多久后在本进程生效",
    ),
    "orders.stale_after_s": (
        "How long a process may go by the pauses and measures that it knows, where the shared store does not answer; "
        "then it refuses",
        "共享存储无应答时，进程最多按已知的暂停与处置继续工作多久，之后拒绝请求",
    ),
    "measures.automatic_up_to": (
        "The highest step against a person that the gateway takes by itself; people take every step",
        "网关可自动采取的最高处置措施；人工可采取任何一级",
    ),
    "measures.count": (
        "What counts against a person: refused `prompts` alone, or `both` these and stopped answers",
        "计入违规的内容：仅被拒绝的输入（`prompts`），或输入与被中止的回答（`both`）",
    ),
    "incidents.operator_kind": (
        "Whose clock runs for a report: `ordinary` operator, operator of `critical` infrastructure, central "
        "`state_organ`",
        "报告时限按何种主体计算：一般运营者 `ordinary`、关键信息基础设施运营者 `critical`、"
        "中央和国家机关 `state_organ`",
    ),
    "delivery.webhook_url": (
        "Where reports about incidents are posted; empty: nowhere",
        "事件报告推送地址；留空不推送",
    ),
    "delivery.webhook_secret_env": (
        "Environment variable with the secret that signs what is posted",
        "推送签名密钥所在的环境变量名",
    ),
    "delivery.mail_host": ("Server that takes mails with reports; empty: none", "发送报告的邮件服务器；留空不发邮件"),
    "delivery.mail_port": ("Its port", "邮件服务器端口"),
    "delivery.mail_tls": (
        "`starttls`, `tls` from the first byte, or `none` (only on the machine itself)",
        "`starttls`、`tls`（直接加密）或 `none`（仅限本机）",
    ),
    "delivery.mail_user": ("Account at the mail server; empty: without login", "邮件服务器账号；留空不登录"),
    "delivery.mail_password_env": ("Environment variable with its password", "邮箱密码所在的环境变量名"),
    "delivery.mail_from": ("Sender of the mails", "发件人"),
    "delivery.mail_to": ("Receivers of the mails", "收件人"),
    "delivery.timeout_s": ("Longest time for one attempt", "单次投递的最长时间"),
    "delivery.give_up_after_h": (
        "Hours after which a report that could not be delivered is given up, with a record and an alert",
        "多少小时后放弃投递（留存记录并告警）",
    ),
    "audit.url": (
        "A PostgreSQL server that has the log of several replicas (`postgresql://...`). Empty: the data folder",
        "供多个副本共用日志的 PostgreSQL（`postgresql://...`）。留空则存于数据目录",
    ),
    "audit.schema_name": ("The schema on that server that has the log's tables", "日志各表所在的模式名"),
    "audit.spool_mb": (
        "Megabytes of records that may wait on this disk while the server is away; beyond it requests are refused",
        "服务器不可用时可在本机暂存的记录（MB），超出即拒绝请求",
    ),
    "audit.spool_s": ("How long records may wait so", "记录最长暂存时间"),
    "audit.bodies": (
        "Which prompts and answers are kept, encrypted: none, those of refused, stopped or masked exchanges (blocked), "
        "these and a random sample, or all",
        "加密留存哪些提示与回答：不留存、仅被拒绝/中止/遮盖的、再加随机抽样，或全部",
    ),
    "audit.sample_bp": ("Size of the sample, of 10,000 exchanges", "抽样比例（每 10,000 次交互）"),
    "audit.master_key": (
        "Where the key of sealed bodies is: `file` (the data folder), `env:NAME` (base64), or `hook:MODULE:FUNCTION`",
        "密封正文的主密钥来源：`file`（数据目录）、`env:NAME`（base64）或 `hook:MODULE:FUNCTION`",
    ),
    "audit.two_person_reading": (
        "Whether a second person has to agree before a sealed body is read",
        "查阅密封正文前是否须第二人同意",
    ),
    "audit.reading_hours": ("How long a permission to read one holds", "查阅许可的有效小时数"),
    "audit.keep_days": (
        "Records of exchanges are dropped after so many days, never before the policy's minimum; 0: never",
        "交互记录的最长保存天数，不得短于政策下限；0 表示不清理",
    ),
    "audit.keep_risk_days": (
        "The same for incidents, measures, complaints and cases. Nothing is dropped until both are set",
        "事件、处置、投诉与请求记录的最长保存天数；两项均设置后才会清理",
    ),
    "audit.keep_body_days": (
        "Sealed bodies are deleted after so many days; 0: never",
        "密封正文的最长保存天数；0 表示不删除",
    ),
    "audit.hold_body_days": (
        "Sealed bodies are kept for so many days even where their subject asks to erase them",
        "即使本人请求删除，密封正文至少保存的天数",
    ),
    "audit.delete_after_days": (
        "Days between hiding what was pruned and deleting it from the disk",
        "清理后先隐藏、再从磁盘删除的间隔天数",
    ),
    "audit.disk_free_min_mb": (
        "Less free room than this, in megabytes, shows as `audit_retention_at_risk`",
        "剩余磁盘空间低于此值（MB）即告警",
    ),
    "timestamps.url": (
        "Address of a time-stamping authority (RFC 3161) that stamps checkpoints; empty: none",
        "为检查点加盖时间戳的机构地址（RFC 3161）；留空不使用",
    ),
    "timestamps.roots": (
        "PEM file with the authority's root certificate; a stamp that does not lead to it is refused",
        "时间戳机构根证书的 PEM 文件；不能追溯到该证书的时间戳不予接受",
    ),
    "timestamps.every_h": ("How often a checkpoint is stamped", "加盖时间戳的间隔"),
    "archive.bucket": (
        "Bucket with object lock that full segments of the log are copied to; empty: none",
        "存放日志整段副本的存储桶（须启用对象锁定）；留空不归档",
    ),
    "archive.endpoint": ("Address of the object storage; empty: that of AWS", "对象存储的地址；留空为 AWS"),
    "archive.region": ("Its region", "对象存储的区域"),
    "archive.prefix": ("What the objects' names begin with", "对象名称的前缀"),
    "archive.lock": (
        "How they are locked: nobody can delete them, or only who has a special right",
        "锁定方式：任何人不得删除，或仅特权账号可删除",
    ),
    "archive.lock_days": (
        "For how long; 0: the policy's longest minimum",
        "锁定天数；0 表示政策规定的最长保存期下限",
    ),
    "archive.parquet": ("With a Parquet view of each segment beside it", "同时存放 Parquet 格式的副本"),
    "archive.every_h": ("How often new full segments are looked for", "检查新整段的间隔"),
    "siem.file": ("File that gets one OCSF event a line; empty: none", "写入 OCSF 事件的文件，每行一条；留空不写"),
    "siem.url": ("Address that OCSF events are posted to; empty: none", "接收 OCSF 事件的地址；留空不发送"),
    "siem.token_env": (
        "Environment variable with the bearer token for it",
        "访问该地址所用令牌所在的环境变量名",
    ),
    "siem.every_s": ("How often new records are handed on", "转发新记录的间隔"),
    "siem.batch": ("Most events in one request", "单次请求最多包含的事件数"),
    "siem.timeout_s": ("Longest time for one request", "单次请求的最长时间"),
    "audit.census_every_s": ("How often each process counts itself in the log", "各进程在日志中清点自身记录的间隔"),
    "audit.max_pending": (
        "Records that may wait for the disk, for each worker; beyond it requests are refused",
        "每个工作进程可等待落盘的记录数，超出即拒绝请求",
    ),
    "limits.request_body_bytes": ("Largest request body", "请求体上限"),
    "limits.answer_body_bytes": ("Largest plain answer of the model", "模型非流式回答的上限"),
    "limits.event_bytes": ("Largest event of a stream", "流式回答单个事件的上限"),
    "limits.body_timeout_s": ("Longest time for a request body to arrive", "请求体到达的最长时间"),
    "limits.keep_alive_s": (
        "A stream that is silent for so long gets a line that means nothing, so that its connection stays open",
        "流式回答静默超过此时间时，发送无含义的保活内容",
    ),
    "realtime.sound": (
        "When the sound of a realtime answer leaves: `whole` after all of its words were let out, `follow` with the "
        "words that follow it, for models that write before they speak",
        "实时回答的声音何时放行：`whole` 全部转写文字放行之后；`follow` 随其后的文字放行，适用于先写后说的模型",
    ),
    "realtime.input_sound": (
        "Which sound a realtime session takes: `any`, or only where the model's side writes it down (`transcribed`), "
        "so that it can be checked as a prompt",
        "实时会话接受哪些声音：`any` 不限；`transcribed` 仅在模型侧转写时接受，以便作为提示检查",
    ),
    "realtime.origins": (
        "Origins of web pages that may open a realtime session, beside pages of this address",
        "除本地址的页面外，可打开实时会话的网页来源（Origin）",
    ),
    "realtime.session_s": (
        "Longest time of a realtime session; for so long the identity of its handshake is believed",
        "实时会话的最长时间；握手时的身份在此期间有效",
    ),
    "server.host": ("Address of the public listener", "公共监听地址"),
    "server.port": ("Port of the public listener; 0: any free one", "公共监听端口；0 表示任意空闲端口"),
    "server.operator_host": ("Address of the operator listener", "运维监听地址"),
    "server.operator_port": ("Port of the operator listener; 0: any free one", "运维监听端口；0 表示任意空闲端口"),
    "server.workers": ("Worker processes", "工作进程数"),
    "server.public_url": (
        "Where the world reaches the public listener; links in notices and receipts begin with it",
        "公众访问本服务的地址，提示与回执中的链接以此开头",
    ),
    "logging.level": ("Least severe line that is logged", "日志级别"),
    "logging.format": ("`auto`: plain on a terminal, else JSON", "`auto`：终端上为文本，否则为 JSON"),
}
"""What each key means, in English and Chinese; a key that is missing here must describe itself in the schema."""


def main() -> None:
    """Bring every generated part of every document up to date."""
    for path in documents():
        old = path.read_text(encoding="utf-8")
        new = regenerated(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))
    for path, text in policy_pages().items():
        path.write_text(text, encoding="utf-8")


def documents() -> list[Path]:
    """Every document for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def regenerated(text: str) -> str:
    """`text` with its generated parts made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + begin + make() + end + rest.partition(end)[2]
    return text


def policy_pages() -> dict[Path, str]:
    """The page of each policy."""
    return {
        ROOT / f"docs/policy-{name}.md": policies.duty_table(policies.load([name])) for name in policies.available()
    }


# The settings.


def settings() -> str:
    """A table for each section of the configuration file."""
    return "\n".join(_section(name, about, keys) for name, about, keys in _sections())


def setting_keys() -> list[str]:
    """Every key, as `section.key`."""
    return [f"{name}.{key}" for name, _, keys in _sections() for key in keys]


def meaning(key: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    """What `key` means, in English and Chinese. Raises `KeyError` where nobody said."""
    if key in MEANINGS:
        return MEANINGS[key]
    if "description" in schema:
        return str(schema["description"]), ""
    raise KeyError(f"{key}: say what it means in tests/docs/reference.py")


def _sections() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = Settings.model_json_schema()
    yield from _walk("", schema, schema["$defs"])


def _walk(prefix: str, table: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    keys: dict[str, Any] = {}
    below = []
    for name, item in table["properties"].items():
        if "$ref" in item:
            below.append((f"{prefix}{name}", defs[item["$ref"].rpartition("/")[2]]))
        elif prefix or name not in INTERNAL:
            keys[name] = item
    if keys:
        yield prefix.rstrip("."), " ".join(table.get("description", "").split()), keys
    for name, inner in below:
        yield from _walk(f"{name}.", inner, defs)


def _section(name: str, about: str, keys: Mapping[str, Any]) -> str:
    lines = [f"## [{name}]", "", about, "", "| key | value | default | meaning | 说明 |", "|---|---|---|---|---|"]
    for key, schema in keys.items():
        en, zh = meaning(f"{name}.{key}", schema)
        default = _literal(schema.get("default"))
        lines.append(f"| `{key}` | {_value(schema)} | `{default}` | {_cell(en)} | {_cell(zh)} |")
    return "\n".join(lines) + "\n"


def _value(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{item}`" for item in schema["enum"])
    if schema.get("type") == "array":
        return "list of texts"
    name = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}[schema["type"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is None:
        return name
    above = "more than " if "exclusiveMinimum" in schema else ""
    return f"{name}, {above}{low} to {schema['maximum']}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return str(value)


# The wires and the metrics.

_PLACEHOLDER = re.compile(r"\[[^\]]*\](?:\{[0-9,]+\}|[+*])?|\((?:\?[:P][^)]*|[^)]*)\)(?:\{[0-9,]+\}|[+*?])?")


def wires() -> str:
    """The model APIs that are spoken, from the table that requests are matched with."""
    rows: dict[tuple[str, bool], list[str]] = {}
    for route in ROUTES:
        path = _PLACEHOLDER.sub("{…}", route.path).replace("\\", "") if route.is_pattern else route.path
        rows.setdefault((route.wire.name, route.wire.is_generative), []).append(f"`{route.method} {path}`")
    lines = ["| wire | address | answers |", "|---|---|---|"]
    for (name, is_generative), places in rows.items():
        kind = "a model's" if is_generative else "passed on, recorded"
        lines.append(f"| `{name}` | {'<br>'.join(dict.fromkeys(places))} | {kind} |")
    return "\n".join(lines) + "\n"


def fields() -> str:
    """What happens to each field of each wire, from the codecs."""
    shown = (
        replace(route, path=_PLACEHOLDER.sub("{…}", route.path).replace("\\", "") if route.is_pattern else route.path)
        for route in ROUTES
    )
    return re.sub(r"^## ", "### ", table(shown), flags=re.MULTILINE)


def metrics() -> str:
    """Every metric, from the registry."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        kind = "gauge" if family.kind is Kind.WATCHED else family.kind.value
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.full_name}` | {kind} | {labels} | {_cell(family.help)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PARTS: Mapping[str, Callable[[], str]] = {
    "pipeline": pipeline.table,
    "kept": kept_data.table,
    "settings": settings,
    "wires": wires,
    "fields": fields,
    "metrics": metrics,
}

if __name__ == "__main__":
    main()
