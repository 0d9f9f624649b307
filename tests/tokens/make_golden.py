"""Write golden.json: what tiktoken counts. Run where it can get its vocabularies, whose hashes it checks itself.

python -m tests.tokens.make_golden
"""

from __future__ import annotations

import json
from pathlib import Path

import tiktoken

from tests.tokens.texts import corpus, fingerprint, made_up, samples

GOLDEN = Path(__file__).with_name("golden.json")
MADE_UP = 5_000


def main() -> None:
    """Count every text by every encoding."""
    golden: dict[str, object] = {"tiktoken": tiktoken.__version__}
    for name in ("o200k_base", "cl100k_base"):
        encoding = tiktoken.get_encoding(name)

        def count(text: str, encoding: tiktoken.Encoding = encoding) -> int:
            return len(encoding.encode_ordinary(text))

        golden[name] = {
            "samples": {label: count(text) for label, text in samples()},
            "made up": fingerprint([count(text) for text in made_up(MADE_UP)]),
            "corpus": {kind: fingerprint([count(text) for text in texts]) for kind, texts in corpus().items()},
        }
    GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
