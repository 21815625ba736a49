"""Events for all writers (`make.py spec`), and those of Python's own json and of orjson."""
import json
import random
import sys

NOW = 1_700_000_000_000_000_000


def spec():
    draw = random.Random(42)
    texts = ["image", "", "é", "日本語", "\U0001f600", "a\"b\\c/d", "tab\tline\nnul\u0000", "<b>&amp;'", "\u2028\u2029", "x" * 70]
    extras = [None, True, False, 0, -1, 1.5, -2.5e-7, [], {}, [1, [2, {"campaign_id": 99}]], {"event_time_ns": 1, "é": None}]
    events = []
    for i in range(120):
        time = NOW + draw.randrange(0, 60) * 1_000_000_000 + draw.randrange(1_000_000_000)
        event = {
            "user_id": f"00000000-0000-4000-8000-{i:012d}",
            "page_id": f"c0ffee00-1111-4222-9333-{i:012d}",
            "ad_id": draw.choice(texts),
            "ad_type": draw.choice(texts),
            "event_type": "view",
            "event_time_ns": time,
            "window_id": draw.randrange(-5, 5),
            "ip_address": "10.0.0.1",
            "campaign_id": draw.choice([0, 1, 2, 3, 7, 70_000, 2**53 - 1]),
            "produce_time": time // 1_000_000 + draw.randrange(50),
        }
        for name in draw.sample(["meta", "score", "Campaign_ID", "event_time", "", "日本"], draw.randrange(4)):
            event[name] = draw.choice(extras)
        if draw.random() < 0.2:
            del event[draw.choice(["user_id", "ad_id", "ad_type", "event_type", "ip_address", "window_id"])]
        names = list(event)
        if draw.random() < 0.5:
            draw.shuffle(names)
        events.append({name: event[name] for name in names})
    return events


def python(events):
    styles = [{}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}, {"sort_keys": True}, {"indent": "\t"}]
    return [json.dumps(event, **styles[i % len(styles)]) for i, event in enumerate(events)]


def fast(events):
    import orjson
    styles = [0, orjson.OPT_INDENT_2, orjson.OPT_SORT_KEYS, orjson.OPT_APPEND_NEWLINE]
    return [orjson.dumps(event, option=styles[i % len(styles)]).decode() for i, event in enumerate(events)]


if sys.argv[1] == "spec":
    json.dump(spec(), sys.stdout)
else:
    events = json.load(open(sys.argv[2]))
    texts = {"python": python, "orjson": fast}[sys.argv[1]](events)
    json.dump(texts, sys.stdout, indent=0)
    print()
