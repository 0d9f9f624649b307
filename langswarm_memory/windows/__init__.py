"""What of a history a model sees: bounds of reads, and windows that every provider takes.

``ties`` matches calls and results, ``units`` (``regular`` where nothing is wrong) finds what belongs together,
``build`` cuts between units, ``explain`` tells why. ``edits`` and ``additions`` change and make messages where a
history is broken, ``repair`` finds the breaks.
"""

from .bounds import check_limit as check_limit
from .bounds import position as position
from .bounds import role_text as role_text
from .bounds import role_texts as role_texts
