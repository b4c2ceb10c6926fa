# SPDX-License-Identifier: Apache-2.0
"""Tables of what looks alike: letters of other scripts, digits for letters, characters written as two parts.

Written by hand for this project: what is used to disguise words, not all that Unicode confuses (UTS #39 lists that).
"""

_CYRILLIC_GREEK = {
    "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "ё": "e", "ғ": "f", "ԍ": "g", "һ": "h", "і": "i", "ї": "i",
    "ј": "j", "к": "k", "ⅼ": "l", "ӏ": "l", "м": "m", "п": "n", "о": "o", "р": "p", "ԛ": "q", "г": "r", "ѕ": "s",
    "т": "t", "ц": "u", "ѵ": "v", "ԝ": "w", "ѡ": "w", "х": "x", "у": "y", "ү": "y", "А": "A", "В": "B", "С": "C",
    "Е": "E", "Н": "H", "І": "I", "Ј": "J", "К": "K", "М": "M", "О": "O", "Р": "P", "Ѕ": "S", "Т": "T", "Х": "X",
    "У": "Y", "Ү": "Y", "α": "a", "β": "b", "ϲ": "c", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o",
    "ρ": "p", "σ": "o", "τ": "t", "υ": "u", "χ": "x", "γ": "y", "ω": "w", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z",
    "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X", "ı": "i",
    "ɑ": "a", "ɡ": "g", "ɩ": "i", "ո": "n", "օ": "o", "ս": "u", "հ": "h", "ց": "g", "զ": "q",
}  # fmt: skip
HOMOGLYPHS: dict[str, str] = _CYRILLIC_GREEK
"""Letters of other scripts and the Latin letter that each looks like."""

LEET: dict[str, str] = {
    "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
    "!": "i", "|": "l", "+": "t",
}  # fmt: skip
"""Digits and signs and the letter that each stands for."""

# Whole character, left part, right part; characters of words that are worth disguising, and common ones around them.
_SPLIT = """
炸火乍 弹弓单 枪木仓 独犭虫 赌贝者 博十尃 骗马扁 贩贝反 贷代贝 钱钅戋 银钅艮 信亻言 微彳敳 诈讠乍 杀乂木 枉木王
淫氵㸒 妓女支 奸女干 她女也 好女子 嫖女票 娼女昌 裸衤果 性忄生 情忄青 胸月匈 腿月退 脱月兑 肏入肉 吸口及 吃口乞
叫口丩 骂马吅 吐口土 咒口兄 抢扌仓 打扌丁 抓扌爪 拐扌另 扣扌口 抄扌少 持扌寺 拍扌白 推扌隹 换扌奂 扔扌乃 找扌戈
法氵去 海氵每 洗氵先 油氵由 汽氵气 泄氵世 洛氵各 冰冫水 冻冫东 凶凵乂 刺朿刂 刻亥刂 割害刂 刑开刂 制制刂 利禾刂
别另刂 到至刂 动云力 功工力 劫去力 助且力 勒革力 加力口 和禾口 知矢口 如女口 妈女马 妹女未 姐女且 奶女乃 媒女某
嫌女兼 你亻尔 他亻也 们亻门 什亻十 作亻乍 做亻故 件亻牛 伪亻为 仇亻九 体亻本 使亻吏 便亻更 保亻呆 化亻匕 代亻弋
偷亻俞 便亻更 侵亻𠬶 僵亻畺 说讠兑 话讠舌 语讠吾 谁讠隹 请讠青 认讠人 识讠只 记讠己 让讠上 论讠仑 讲讠井 证讠正
诉讠斥 计讠十 训讠川 设讠殳 访讠方 评讠平 词讠司 试讠式 该讠亥 课讠果 谋讠某 谎讠荒 诱讠秀 明日月 时日寸 晚日免
昨日乍 林木木 村木寸 材木才 杆木干 板木反 样木羊 校木交 根木艮 格木各 桥木乔 机木几 极木及 构木勾 枝木支 植木直
毒龶母 药艹约 烧火尧 烟火因 灯火丁 炼火东 炮火包 烂火兰 烤火考 煤火某 爆火暴 灿火山 焊火旱 钢钅冈 铁钅失 针钅十
钉钅丁 锁钅巢 镜钅竟 铅钅凸 钟钅中 错钅昔 销钅肖 购贝勾 财贝才 账贝长 败贝攵 贿贝有 赂贝各 赔贝咅 赠贝曾 政正攵
放方攵 教孝攵 故古攵 致至攵 敌舌攵 收丩攵 攻工攵 改己攵 救求攵 敢耳攵 数娄攵 散昔攵 现王见 玩王元 理王里 球王求
环王不 班王王 视礻见 社礻土 神礻申 福礻畐 种禾中 秒禾少 私禾厶 秘禾必 科禾斗 税禾兑 程禾呈 秋禾火 积禾只 租禾且
秀禾乃 路足各 跑足包 跳足兆 跟足艮 踢足易 趴足八 邮由阝 部咅阝 都者阝 郎良阝 那冄阝 阻阝且 防阝方 阳阝日 阴阝月
险阝佥 除阝余 陪阝咅 限阝艮 队阝人 附阝付 狗犭句 猫犭苗 猪犭者 狠犭艮 狼犭良 猎犭昔 犯犭㔾 狂犭王 狱犭言 独犭虫
猥犭畏 驾加马 验马佥 骑马奇 骚马蚤 驶马史 驳马爻 驻马主 驱马区
"""
# A part that is no character of its own, and the character that a writer without it takes.
_WHOLE = str.maketrans("讠亻氵扌钅忄犭冫艹礻攵阝", "言人水手金心犬冰草示文耳")


def _parts() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in _SPLIT.split():
        whole, parts = entry[0], entry[1:]
        if len(parts) == 2 and whole not in parts:
            found.setdefault(parts.translate(_WHOLE), whole)
            found[parts] = whole
    return {parts: whole for parts, whole in found.items() if whole not in parts}


PARTS: dict[str, str] = _parts()
"""Two parts side by side, and the character that they make."""
