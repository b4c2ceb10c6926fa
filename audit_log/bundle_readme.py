# SPDX-License-Identifier: Apache-2.0
"""What a bundle says about itself to the person who opens it, in Chinese and in English."""

README_EN = """\
# An audit bundle

Made by the operator of a generative-AI service, from its audit log. You need not trust the operator to check it.

## Check it

    python -m pip install cryptography
    python verify.py --vkey "<the log's key, as you were given it before>"

`verify.py` needs Python 3.11 or newer and the package `cryptography`, and no network. It works on this folder, or on
the zip: `python verify.py BUNDLE.zip`. It ends with exit status 0 only where everything holds; otherwise it says what
does not, and names the first index that is bad. `--checkpoint FILE` checks that this log continues a checkpoint that
you kept from an earlier audit.

Where the key comes from decides what the check is worth. Without `--vkey` the keys in `keys/` are taken: that shows
damage, but whoever forges a whole bundle can make up its key too. Likewise, take `verify.py` from a source of your own,
or read it. Other people's verifiers of C2SP logs can check `proofs/` against `records.jsonl` as well.

## What is in it

| file | what |
|---|---|
| `MANIFEST.json`, `MANIFEST.sig` | what was selected, counts, the hash of each file; signed with the log's key |
| `records.jsonl` | the records, one a line, each exactly the bytes that the log proves |
| `records.csv` | the same as a table, for reading only. A cell that could be a formula begins with an apostrophe |
| `records.parquet` | if asked for, the same for data tools, with index and leaf hash; only its own hash is checked |
| `record.schema.json` | JSON Schema of a record |
| `proofs/<index>.tlog-proof` | for each record, the proof that it is in the log (c2sp.org/tlog-proof) |
| `checkpoints/<size>.txt` | signed states of the log; `tiles/` is what is needed to show that each continues the last |
| `policy.txt`, `keys/` | whose signatures count (c2sp.org/tlog-policy), and the log's keys |
| `timestamps/<size>.tsr` | an authority's time-stamp (RFC 3161) of `timestamps/<size>.txt`, if there are any |
| `erasures.json`, `holds.json`, `prunes.json`, `key-changes.json` | what was done to the log itself, with proofs |
| `bodies/` | where handed out: prompts and answers, sealed, or with the key that opens this one body |

## What it does not show

- A selection (see `filters` in `MANIFEST.json`) may leave out records: what is searched for lies outside the tree, so
  that it can be deleted. An unfiltered bundle has every index, and `verify.py` checks that.
- A record whose body was erased is still authentic; its text can never be read again.
- The operator could have kept two logs and shown you one. Only somebody outside who saw the same checkpoints excludes
  that: witnesses (named in `policy.txt`), other auditors, or the checkpoints that you kept.
- Something that was never recorded leaves no trace except gaps in the numbers of its writer, which are checked.
"""

README_ZH = """\
# 审计包

由生成式人工智能服务的运营者从其审计日志导出。核验本包不需要信任运营者。

## 如何核验

    python -m pip install cryptography
    python verify.py --vkey "<您事先取得的日志公钥>"

`verify.py` 只需要 Python 3.11 或更高版本和 `cryptography` 软件包，不使用网络。既可在解压后的文件夹中运行，也可直接核验
压缩包：`python verify.py BUNDLE.zip`。只有全部成立时退出码才为 0；否则说明何处不成立，并指出第一个有问题的序号。
`--checkpoint 文件` 用于核验本日志是否延续您在以往审计中留存的检查点。

核验的效力取决于公钥的来源。不使用 `--vkey` 时采用 `keys/` 中的公钥：能够发现损坏，但伪造整个审计包的人也能伪造其中的
公钥。同理，`verify.py` 最好取自您自己的渠道，或者先阅读其内容。其他符合 C2SP 规范的核验工具也可以用 `proofs/` 核验
`records.jsonl`。

## 包内文件

| 文件 | 内容 |
|---|---|
| `MANIFEST.json`、`MANIFEST.sig` | 选取条件、数量、每个文件的哈希；以日志密钥签名 |
| `records.jsonl` | 记录，每行一条，与日志所证明的字节完全一致 |
| `records.csv` | 同样内容的表格，仅供阅读。可能被当作公式的单元格以单引号开头 |
| `records.parquet` | 如有要求：同样内容的 Parquet 文件，每行带有序号和叶哈希；核验时只比对文件哈希 |
| `record.schema.json` | 记录的 JSON Schema |
| `proofs/<序号>.tlog-proof` | 每条记录确在日志之中的证明（c2sp.org/tlog-proof） |
| `checkpoints/<大小>.txt` | 经签名的日志状态；`tiles/` 是证明前后延续所需的数据 |
| `policy.txt`、`keys/` | 哪些签名有效（c2sp.org/tlog-policy），以及日志的公钥 |
| `timestamps/<大小>.tsr` | 如有：外部机构对 `timestamps/<大小>.txt` 的时间戳（RFC 3161） |
| `erasures.json`、`holds.json`、`prunes.json`、`key-changes.json` | 对日志本身的处置（删除、保全、清理、换钥） |
| `bodies/` | 如有提供：提示词与回答，密封形式，或附有仅能打开该条内容的密钥 |

## 本包不能证明的事项

- 经过筛选的包（见 `MANIFEST.json` 的 `filters`）可能遗漏记录：检索条件位于树外，以便依法删除。未经筛选的包包含每一个
  序号，`verify.py` 会予以核验。
- 内容已被删除的记录仍是真实的记录，但其文本永远无法再读取。
- 运营者可能保有两份日志而只出示其中一份。只有见过相同检查点的外部人员才能排除这一点：见证者（列于 `policy.txt`）、其他
  审计人员，或您留存的检查点。
- 从未记录的事项不会留下痕迹，除非造成其写入者编号的缺口；编号已予核验。
"""
